import { expect, test } from 'vitest';
import { isOurs, readFile, readVectors } from '../vectors/folder.ts';
import { type Fields, History, ruleFor, SERVED } from './differences.ts';
import { hex, Identity, prefixed, Wire, World } from './rig.ts';

interface JsonVector {
  type?: string;
  note?: string;
  request_frame?: string;
  request_json: string;
  response_json: string;
  connection_closed?: boolean;
}

/** Vectors of our own recording that are answered otherwise, and by which rule; no others are. */
const DIFFERENT: Record<string, number[]> = {
  'R8: heartbeats are always verified': [12, 13, 14],
  'CP 1.4 [N]: the mask lets "signature" through': [18, 23, 111],
  'R4: one side alone makes no pair': [31],
  'R7: beacons show a secret': [60, 61],
  'no networks here': [72, 74, 87],
  'no networks here, so no expiry': [88],
  'R3: the owner is no way to an id': [110],
};

/** Fields that are only ours, only of [N], or only of [B] (CP 1.7, 1.8, 1.13; R14). */
const ONE_SIDED = ['code', 'discover_sig', 'endpoint', 'last_seen_unix', 'key_generation', 'polo_score', 'task_exec'];
const REFUSAL = { type: 'error', error: 'request failed' };
/** A recording takes a while; its world here stands still. */
const PATIENCE_S = 600;

/** What both sides have, with times that are near ours replaced by ours. */
function common(answer: Fields, unixS: number): Fields {
  const text = JSON.stringify(answer, (name, value) => {
    if (ONE_SIDED.includes(name)) return undefined;
    const isTime = typeof value === 'number' && value > 1e9 && Math.abs(value - unixS) <= PATIENCE_S;
    if (isTime) return unixS;
    const parsed = typeof value === 'string' && /^\d{4}-\d\d-\d\dT[\d:]+Z$/.test(value) ? Date.parse(value) / 1000 : 0;
    return Math.abs(parsed - unixS) <= PATIENCE_S ? unixS : value;
  });
  return JSON.parse(text);
}

/** A world whose clock is that of the recording. */
function worldOf(answers: readonly (Fields | undefined)[]): World {
  const world = new World();
  const time = answers.find((answer) => answer?.type === 'heartbeat_ok')?.time;
  if (typeof time === 'number') {
    world.unixMs = time * 1000;
    world.linkOpenedMs = world.unixMs;
  }
  return world;
}

test('the recorded JSON session gets the recorded answers, but for the rules that are named', () => {
  const recordedVectors = readVectors<JsonVector[]>('registry-json');
  const answers = recordedVectors.map(({ response_json }) => (response_json ? JSON.parse(response_json) : undefined));
  const world = worldOf(answers);
  const unixS = world.unixMs / 1000;
  const history = new History();
  const different: Record<string, number[]> = {};
  let wire = new Wire(world);
  recordedVectors.forEach((vector, i) => {
    const where = `vector ${i} (${vector.type ?? ''} ${vector.note ?? ''})`;
    const frame =
      vector.request_frame === undefined ? prefixed(Buffer.from(vector.request_json)) : hex(vector.request_frame);
    const [bytes] = wire.send(frame);
    expect(wire.session.isClosed, where).toBe(vector.connection_closed ?? false);
    if (vector.connection_closed) {
      expect(bytes, where).toBeUndefined();
      expect(wire.tally.get('malformedBody'), where).toBe(1);
      wire = new Wire(world);
      return;
    }
    const answer = JSON.parse(Buffer.from(bytes!.subarray(4)).toString('utf8'));
    expect(bytes!.length - 4, where).toBe(new DataView(bytes!.buffer).getUint32(0));
    expect('code' in answer, where).toBe(answer.type === 'error');
    const request = JSON.parse(vector.request_json) ?? {};
    const recorded = SERVED.has(request.type) ? answers[i] : REFUSAL;
    const exchange = { request, recorded: common(recorded, unixS), ours: common(answer, unixS) };
    const rule = ruleFor(exchange, history);
    if (rule === undefined) expect(exchange.ours, where).toEqual(exchange.recorded);
    else different[rule] = [...(different[rule] ?? []), i];
    history.note(exchange);
  });
  if (isOurs) expect(different).toEqual(DIFFERENT);
});

interface BinaryVector {
  note: string;
  request_frame: string;
  request_json?: string;
  response_frame: string;
  error_text?: string;
}

test('the recorded binary session gets the recorded bytes, but for heartbeats that are not verified there', () => {
  const { node1, preamble, vectors } = readFile<{ node1: number; preamble: string; vectors: BinaryVector[] }>(
    'registry-binary',
  );
  const heartbeat = vectors.find(({ response_frame }) => response_frame.slice(8, 10) === '81');
  const time =
    heartbeat === undefined
      ? undefined
      : Number(
          hex(heartbeat.response_frame)
            .slice(5, 13)
            .reduce((sum, byte) => sum * 256n + BigInt(byte), 0n),
        );
  const world = worldOf([{ type: 'heartbeat_ok', time }]);
  for (let i = 1; i < node1; i++) world.join(new Identity(`filler ${i}`));
  const wire = new Wire(world);
  const history = new History();
  expect(wire.send(hex(preamble))).toEqual([]);
  for (const { note, request_frame, request_json, response_frame, error_text } of vectors) {
    const request = hex(request_frame);
    const [answer] = wire.send(request);
    const got = Buffer.from(answer!).toString('hex');
    const text = Buffer.from(answer!.subarray(7)).toString();
    const body = (frame: Uint8Array): Fields => JSON.parse(Buffer.from(frame.subarray(5)).toString());
    if (error_text?.startsWith('json decode')) {
      // Behind the colon stands the reference's JSON parser.
      expect(answer![4], note).toBe(0xff);
      expect(text, note).toMatch(/^json decode: /);
    } else if (request_json !== undefined) {
      const ours = body(answer!);
      const { discover_sig, ...rest } = ours;
      expect(discover_sig, note).toBe(ours.type === 'register_ok' ? true : undefined);
      expect(rest, note).toEqual(body(hex(response_frame)));
      history.note({ request: JSON.parse(request_json), recorded: rest, ours });
    } else if (got !== response_frame) {
      const nodeId = new DataView(request.buffer).getUint32(5);
      const signature = Buffer.from(request.subarray(9)).toString('base64');
      // R8: verified always.
      expect([request[4], hex(response_frame)[4], text], note).toEqual([1, 0x81, 'signature verification failed']);
      expect(history.isSigned(nodeId, `heartbeat:${nodeId}`, signature), note).toBe(false);
    }
  }
  expect(wire.session.isClosed).toBe(false);
});
