import { expect, test } from 'vitest';
import { hex, Identity, prefixed, vectors, Wire, World } from './rig.ts';

interface JsonVector {
  type?: string;
  note?: string;
  request_frame?: string;
  request_json: string;
  response_json: string;
  connection_closed?: boolean;
}

/** Requests of CP 1.11–1.14 are not served: they get the answer to an unknown type. */
const SERVED = new Set([
  ...['register', 'heartbeat', 'rotate_key', 'set_key_expiry', 'get_key_info', 'deregister'],
  ...['lookup', 'resolve', 'resolve_hostname', 'list_nodes', 'set_hostname', 'set_tags', 'set_visibility'],
  ...['report_trust', 'revoke_trust', 'check_trust', 'request_handshake', 'poll_handshakes', 'respond_handshake'],
  ...['punch', 'beacon_register', 'beacon_list'],
]);

/** Where ours is stricter on purpose, or networks are missing: index of the vector → rule and our answer. */
const DIFFERENT: Record<number, { rule: string; answer: Record<string, unknown> }> = {
  12: { rule: 'R8: heartbeats are always verified', answer: error('signature verification failed') },
  13: { rule: 'R8', answer: error('signature required for authenticated node') },
  14: { rule: 'R8', answer: error('signature verification failed') },
  18: { rule: 'CP 1.4 [N]: the mask lets "signature" through', answer: error('signature verification failed') },
  23: { rule: 'CP 1.4 [N]', answer: error('signature verification failed') },
  31: { rule: 'R4: one side alone makes no pair', answer: { type: 'check_trust_ok', trusted: false } },
  60: { rule: 'R7: beacons show a secret', answer: error('invalid admin token') },
  61: { rule: 'R7', answer: { type: 'beacon_list_ok', beacons: [] } },
  72: { rule: 'no networks here', answer: error('network 1: network not found') },
  74: { rule: 'no networks here', answer: { networks: [0] } },
  87: { rule: 'no networks here', answer: error('enterprise feature: requires enterprise network') },
  88: { rule: 'no networks here, so no expiry', answer: { expires_at: undefined } },
  110: { rule: 'R3: the owner is no way to an id', answer: { address: '0:0000.0000.0005', node_id: 5 } },
  111: { rule: 'CP 1.4 [N]', answer: error('signature verification failed') },
};

function error(text: string): Record<string, unknown> {
  return { type: 'error', error: text };
}

/** Fields that are only ours, only of [N], or only of [B] (CP 1.7, 1.8, 1.13; R14). */
const ONE_SIDED = ['code', 'discover_sig', 'endpoint', 'last_seen_unix', 'key_generation', 'polo_score', 'task_exec'];

function common(answer: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(answer).filter(([name, v]) => v !== undefined && !ONE_SIDED.includes(name)));
}

test('the recorded JSON session gets the recorded answers, but for the rules that are named', () => {
  const world = new World();
  let wire = new Wire(world);
  vectors<{ vectors: JsonVector[] }>('registry-json').vectors.forEach((vector, i) => {
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
    const recorded = JSON.parse(vector.response_json);
    const type = JSON.parse(vector.request_json)?.type;
    const different = DIFFERENT[i]?.answer;
    const expected = !SERVED.has(type)
      ? error('request failed')
      : different?.type !== undefined
        ? different
        : { ...recorded, ...different };
    expect(common(answer), where).toEqual(common(expected));
    expect('code' in answer, where).toBe(answer.type === 'error');
  });
});

test('every named difference is one', () => {
  const recorded = vectors<{ vectors: JsonVector[] }>('registry-json').vectors;
  for (const [i, { answer }] of Object.entries(DIFFERENT)) {
    expect(JSON.parse(recorded[Number(i)]!.response_json), i).not.toMatchObject(answer);
  }
});

interface BinaryVector {
  note: string;
  request_frame: string;
  response_frame: string;
}

test('the recorded binary session gets the recorded bytes, but for heartbeats that are not verified there', () => {
  const world = new World();
  for (let i = 1; i <= 4; i++) world.join(new Identity(`filler ${i}`));
  const wire = new Wire(world);
  expect(wire.send(hex('50494c5401'))).toEqual([]);
  for (const { note, request_frame, response_frame } of vectors<{ vectors: BinaryVector[] }>('registry-binary')
    .vectors) {
    const [answer] = wire.send(hex(request_frame));
    const got = Buffer.from(answer!).toString('hex');
    if (note === 'heartbeat bad signature') {
      // R8: verified always.
      expect(Buffer.from(answer!.subarray(7)).toString(), note).toBe('signature verification failed');
    } else if (note === 'bad JSON') {
      // Behind the colon stands the reference's JSON parser.
      expect(answer![4], note).toBe(0xff);
      expect(Buffer.from(answer!.subarray(7)).toString(), note).toMatch(/^json decode: /);
    } else if (note.includes('register')) {
      expect(JSON.parse(Buffer.from(answer!.subarray(5)).toString()), note).toEqual({
        ...JSON.parse(Buffer.from(response_frame, 'hex').subarray(5).toString()),
        discover_sig: true,
      });
    } else if (note.includes('passthrough')) {
      const body = (frame: string): unknown => JSON.parse(Buffer.from(frame, 'hex').subarray(5).toString());
      expect(body(got), note).toEqual(body(response_frame));
    } else {
      expect(got, note).toBe(response_frame);
    }
  }
  expect(wire.session.isClosed).toBe(false);
});
