// What was exchanged with the reference's control socket, played to ours: agents 1 and 2, both public, in the recorded
// order. Frames must be equal, but for what names keys and times; of commands that we do not serve, only that we say so.
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Agent } from '../../bindings/node/index.ts';
import { listenControl } from '../../bindings/node/ipc.ts';
import { type RendezvousServer, serveRendezvous } from '../../bindings/node/server.ts';
import { AgentControl } from '../../src/ipc/agent-control.ts';
import type { ControlListener } from '../../src/ipc/link.ts';
import { COMMAND, parseAnswer, parseError, unknownCommand } from '../../src/ipc/messages.ts';
import { ControlServer } from '../../src/ipc/server.ts';
import { readVectors } from '../vectors/folder.ts';
import { framesOf, TestClock } from './rig.ts';
import { temporaryDirectory } from './temporary.ts';

interface Vector {
  readonly note: string;
  readonly daemon: number | null;
  readonly request?: { readonly frame: string; readonly cmd?: string | null };
  readonly responses?: readonly { readonly frame: string; readonly cmd: string; readonly json?: string }[];
  readonly closed?: boolean;
}

const VECTORS = readVectors<Vector[]>('ipc').filter(({ request }) => request !== undefined);
const commandOf = ({ request }: Vector): number => Number(request?.cmd ?? 0);
const isServed = (vector: Vector): boolean => [COMMAND.info, COMMAND.handshake].includes(commandOf(vector) as 0x0d);
const named = (vectors: readonly Vector[]): [string, Vector][] => vectors.map((vector) => [vector.note, vector]);

let rendezvous: RendezvousServer;
const agents: Agent[] = [];
const listeners: ControlListener[] = [];
const sockets: Socket[] = [];

beforeAll(async () => {
  rendezvous = await serveRendezvous();
  for (const number of [1, 2]) {
    const agent = await Agent.start({
      rendezvous: rendezvous.url,
      hostname: `node-${number}`,
      visibility: 'public',
    });
    agents.push(agent);
    const control = new AgentControl({ agent, now: () => performance.now(), version: 'dev', ports: 2 });
    const server = new ControlServer(control, new TestClock());
    const path = join(temporaryDirectory(), 'pilot.sock');
    listeners.push(await listenControl(path, (link) => server.accept(link)));
    sockets.push(connect(path));
  }
});

afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await Promise.all(listeners.map((listener) => listener.close()));
  await Promise.all(agents.map((agent) => agent.close()));
  await rendezvous.close();
});

/** Sends a frame as it was recorded, and waits for one frame. */
async function exchange(vector: Vector): Promise<{ bytes: Buffer; command: number; payload: Uint8Array }> {
  const socket = sockets[(vector.daemon ?? 1) - 1]!;
  const received: Buffer[] = [];
  return await new Promise((resolve, reject) => {
    const onClose = (): void => reject(new Error('closed'));
    const onData = (data: Buffer): void => {
      received.push(data);
      const bytes = Buffer.concat(received);
      const [frame] = framesOf(bytes);
      if (frame === undefined) return;
      socket.off('data', onData);
      socket.off('close', onClose);
      resolve({ bytes, ...frame });
    };
    socket.on('data', onData);
    socket.once('close', onClose);
    socket.write(Buffer.from(vector.request!.frame, 'hex'));
  });
}

/** Every key, down through objects and lists, with the type of its value. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shapeOf);
  if (typeof value !== 'object' || value === null) return value === null ? null : typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, shapeOf(item)]));
}

/** Without what differs between two runs. */
function steady(answer: unknown): unknown {
  return JSON.parse(
    JSON.stringify(answer, (key, value) => (['public_key', 'received_at', 'approved_at'].includes(key) ? '' : value)),
  );
}

test('Info has all that the reference says, with the same types', async () => {
  const vector = VECTORS.find((one) => commandOf(one) === COMMAND.info)!;
  const { command, payload } = await exchange(vector);
  const recorded = JSON.parse(vector.responses![0]!.json!) as object;
  const answer = parseAnswer(payload)!;
  expect(command).toBe(COMMAND.infoAnswer);
  expect(shapeOf(answer)).toMatchObject(shapeOf(recorded) as object);
  expect(answer).toMatchObject({ node_id: 1, address: '0:0000.0000.0001', hostname: 'node-1', encrypt: true });
});

describe('the trust commands, in their order', () => {
  // The reference goes on to dial a node that asked for nothing, and its answer was not recorded.
  const isAnswered = (vector: Vector): boolean => vector.responses?.length === 1;
  const vectors = VECTORS.filter((vector) => commandOf(vector) === COMMAND.handshake && isAnswered(vector));

  test('are all there', () => {
    expect(vectors.length).toBeGreaterThan(8);
  });

  test.each(named(vectors))('%s', async (_note, vector) => {
    const [recorded] = vector.responses!;
    const isJson = recorded!.json !== undefined;
    const wanted = isJson ? steady(JSON.parse(recorded!.json!)) : undefined;
    // What one side did shows at the other when it arrived there.
    await expect
      .poll(async () => {
        const { bytes, payload } = await exchange(vector);
        return isJson ? steady(parseAnswer(payload)) : bytes.toString('hex');
      })
      .toEqual(wanted ?? recorded!.frame);
  });

  test('say so when there was nothing to reject', async () => {
    const vector = VECTORS.find(({ note }) => note.startsWith('Handshake reject'))!;
    const { payload } = await exchange(vector);
    expect(parseError(payload)).toBe('handshake reject: no pending request from node 1');
  });
});

describe('everything else', () => {
  const others = VECTORS.filter((vector) => !isServed(vector) && commandOf(vector) > 0);

  test.each(named(others))('%s: unknown here', async (_note, vector) => {
    const { command, payload, bytes } = await exchange(vector);
    expect(command).toBe(COMMAND.error);
    expect(parseError(payload)).toBe(unknownCommand(commandOf(vector)));
    const [recorded] = vector.responses ?? [];
    if (vector.note.startsWith('unknown command') || vector.note.startsWith('reply command')) {
      expect(bytes.toString('hex')).toBe(recorded?.frame);
    }
  });

  test('an empty frame is passed over', async () => {
    const vector = VECTORS.find(({ note }) => note === 'empty message')!;
    const info = VECTORS.find((one) => commandOf(one) === COMMAND.info)!;
    const both = { ...info, request: { frame: vector.request!.frame + info.request!.frame } };
    expect((await exchange(both)).command).toBe(COMMAND.infoAnswer);
  });

  test('a frame above 1 MiB ends the connection', async () => {
    const vector = VECTORS.find(({ closed }) => closed === true)!;
    const frame = `${vector.request!.frame.slice(0, 8)}00`;
    await expect(exchange({ ...vector, daemon: 2, request: { frame } })).rejects.toThrow('closed');
  });
});
