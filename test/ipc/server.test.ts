import { beforeEach, describe, expect, test } from 'vitest';
import { PilotError } from '../../src/errors.ts';
import { emitFrame } from '../../src/ipc/framing.ts';
import type { ControlHandler } from '../../src/ipc/link.ts';
import { COMMAND, emitHandshake, emitInfo, parseAnswer, parseError } from '../../src/ipc/messages.ts';
import { ControlServer, type ControlServerLimits } from '../../src/ipc/server.ts';
import { settled, TestClock, TestControl, TestLink } from './rig.ts';

let control: TestControl;
let clock: TestClock;
let server: ControlServer;
let link: TestLink;
let client: ControlHandler;

function start(limits: ControlServerLimits = {}): void {
  control = new TestControl();
  clock = new TestClock();
  server = new ControlServer(control, clock, limits);
  link = new TestLink();
  client = server.accept(link);
}

beforeEach(() => start());

const errors = (): string[] =>
  link
    .frames()
    .filter(({ command }) => command === COMMAND.error)
    .map(({ payload }) => parseError(payload));

describe('commands', () => {
  test('Info is answered with its own opcode', async () => {
    client.data(emitInfo());
    await control.answer({ node_id: 5 });
    expect(link.frames().map(({ command, payload }) => [command, parseAnswer(payload)])).toEqual([
      [COMMAND.infoAnswer, { node_id: 5 }],
    ]);
  });

  test('handshake commands reach the agent with what they carry', () => {
    client.data(emitHandshake({ sub: 'send', nodeId: 2, text: 'why' }));
    client.data(emitHandshake({ sub: 'approve', nodeId: 3 }));
    client.data(emitHandshake({ sub: 'reject', nodeId: 4, text: 'no' }));
    client.data(emitHandshake({ sub: 'pending' }));
    client.data(emitHandshake({ sub: 'trusted' }));
    client.data(emitHandshake({ sub: 'revoke', nodeId: 5 }));
    client.data(emitHandshake({ sub: 'wait', nodeId: 6, timeoutMs: 7 }));
    expect(control.questions).toEqual([
      'request 2 why',
      'approve 3',
      'reject 4 no',
      'pending',
      'trusted',
      'revoke 5',
      'wait 6 7',
    ]);
  });

  test('every other opcode is refused by number', () => {
    for (let command = 0; command < 256; command++) {
      if (command !== COMMAND.info && command !== COMMAND.handshake) client.data(emitFrame(command, new Uint8Array(2)));
    }
    expect(errors()).toHaveLength(254);
    expect(errors()[0]).toBe('unknown command: 0x00');
    expect(errors().at(-1)).toBe('unknown command: 0xFF');
    expect(server.stats().errors).toBe(254);
  });

  test('a failure is an Error frame in the words of the reference', async () => {
    client.data(emitHandshake({ sub: 'revoke', nodeId: 2 }));
    await control.fail(new PilotError('NOT_FOUND', 'x'));
    client.data(emitHandshake({ sub: 'approve', nodeId: 3 }));
    await control.fail(new PilotError('NOT_FOUND', 'x'));
    client.data(emitInfo());
    await control.fail(new PilotError('CLOSED', 'The agent was closed'));
    expect(errors()).toEqual([
      'handshake revoke: node 2 was not trusted',
      'handshake approve: no pending request from node 3',
      'info: The agent was closed',
    ]);
  });

  test('an answer that does not fit a frame is an error, not an end', async () => {
    client.data(emitInfo());
    await control.answer({ text: 'x'.repeat(2_000_000) });
    expect(errors()).toHaveLength(1);
    expect(link.isDestroyed).toBe(false);
  });

  test('one that waits holds up nothing', async () => {
    client.data(emitHandshake({ sub: 'wait', nodeId: 6, timeoutMs: 30_000 }));
    client.data(emitInfo());
    await control.answer({ node_id: 1 }, 1);
    expect(link.frames().map(({ command }) => command)).toEqual([COMMAND.infoAnswer]);
  });

  test('nobody waits for a client that is gone', async () => {
    client.data(emitHandshake({ sub: 'wait', nodeId: 6, timeoutMs: 30_000 }));
    client.closed();
    expect(control.signals[0]?.aborted).toBe(true);
    await control.answer({});
    expect(link.written).toEqual([]);
    expect(server.stats().clients).toBe(0);
  });
});

describe('limits', () => {
  test('a frame that is too long ends the client and is counted', () => {
    client.data(Uint8Array.of(0x00, 0x10, 0x00, 0x01));
    expect(link.isDestroyed).toBe(true);
    expect(server.stats()).toMatchObject({ oversizeFrames: 1, clients: 0 });
  });

  test('frames without a command are passed over and counted', () => {
    client.data(Uint8Array.of(0, 0, 0, 0));
    client.data(Buffer.concat([Uint8Array.of(0, 0, 0, 0), emitInfo()]));
    expect(control.questions).toEqual(['info']);
    expect(server.stats().emptyFrames).toBe(2);
  });

  test('frames in front of one that is too long are still carried out', () => {
    client.data(Buffer.concat([emitInfo(), Uint8Array.of(0xff, 0xff, 0xff, 0xff)]));
    expect(control.questions).toEqual(['info']);
    expect(link.isDestroyed).toBe(true);
  });

  test('no more clients than there is room for', () => {
    start({ clients: 1 });
    const second = new TestLink();
    server.accept(second).data(emitInfo());
    expect(second.isDestroyed).toBe(true);
    expect(control.questions).toEqual([]);
    client.closed();
    const third = new TestLink();
    server.accept(third).data(emitInfo());
    expect(control.questions).toEqual(['info']);
    expect(server.stats()).toMatchObject({ refusedClients: 1, clients: 1 });
  });

  test('a client with too much under way is not read until something is answered', async () => {
    start({ framesPerClient: 2 });
    client.data(Buffer.concat([emitInfo(), emitInfo(), emitInfo()]));
    expect(control.questions).toHaveLength(2);
    expect(link.isPaused).toBe(true);
    await control.answer({});
    expect(control.questions).toHaveLength(3);
    await control.answer({});
    expect(link.isPaused).toBe(false);
    expect(server.stats().pauses).toBe(1);
  });

  test('answers wait while the link is full, and a client that takes none for 10 s is cut off', async () => {
    link.hasRoom = false;
    client.data(Buffer.concat([emitInfo(), emitInfo()]));
    await control.answer({});
    await control.answer({});
    expect(link.written).toHaveLength(1);
    clock.elapse(9_999);
    expect(link.isDestroyed).toBe(false);
    clock.elapse(1);
    expect(link.isDestroyed).toBe(true);
    expect(server.stats()).toMatchObject({ slowClients: 1, clients: 0 });
  });

  test('a client that takes its answers in time gets all of them', async () => {
    link.hasRoom = false;
    client.data(Buffer.concat([emitInfo(), emitInfo()]));
    await control.answer({});
    await control.answer({});
    clock.elapse(9_000);
    client.drain();
    expect(link.written).toHaveLength(2);
    clock.elapse(9_000);
    link.hasRoom = true;
    client.drain();
    clock.elapse(60_000);
    expect(link.isDestroyed).toBe(false);
    expect(clock.timers).toBe(0);
  });

  test('answers that wait are bounded in bytes too', async () => {
    start({ bytesPerClient: 100 });
    const short = emitHandshake({ sub: 'approve', nodeId: 1 });
    link.hasRoom = false;
    client.data(Buffer.concat([short, short]));
    await control.answer({});
    await control.answer({ text: 'x'.repeat(200) });
    client.data(short);
    expect(link.isPaused).toBe(true);
    expect(control.questions).toHaveLength(2);
    client.drain();
    expect(control.questions).toHaveLength(3);
    expect(link.isPaused).toBe(false);
  });

  test('lists that are being made count with the most that they may have', async () => {
    start({ bytesPerClient: 2 * 1_048_576 });
    client.data(Buffer.concat([emitInfo(), emitInfo(), emitInfo()]));
    expect(control.questions).toHaveLength(2);
    await control.answer({});
    expect(control.questions).toHaveLength(3);
  });

  test('every flipped bit of a frame is an answer, an error, a wait or an end', async () => {
    const frame = emitHandshake({ sub: 'send', nodeId: 2, text: 'hi' });
    for (let bit = 0; bit < frame.length * 8; bit++) {
      start();
      const flipped = Uint8Array.from(frame);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      client.data(flipped);
      if (control.questions.length > 0) await control.answer({});
      expect(link.written.length + (link.isDestroyed ? 1 : 0), `${bit}`).toBeLessThanOrEqual(1);
    }
  });

  test('close() ends all clients', async () => {
    client.data(emitInfo());
    server.close();
    await settled();
    expect(link.isDestroyed).toBe(true);
    expect(server.stats().clients).toBe(0);
  });
});
