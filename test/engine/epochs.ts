/** Replay protection over nonce prefixes (DP 3.11, design: decision 10). */
import { expect, test } from 'vitest';
import { type Engine, RX_NOTE } from '../../src/engine/engine.ts';
import { readVectors } from '../vectors/folder.ts';
import { type CreateEngine, deliver, Peer } from './rig.ts';

interface WindowVector {
  case: number;
  steps: { accept: boolean; counter: string }[];
}

const NEWEST = RX_NOTE.newest;
const OPENED = RX_NOTE.newest | RX_NOTE.newEpoch;

export function epochTests(create: CreateEngine): void {
  const peer = new Peer(7, 1);
  const start = (): { engine: Engine; get: (prefix: number, counter: number | bigint) => [string, number] } => {
    const engine = create({ sessions: 4 });
    peer.install(engine);
    const get = (prefix: number, counter: number | bigint): [string, number] => {
      const { status, note } = deliver(engine, 0, peer.frame(prefix, counter));
      return [status, note];
    };
    return { engine, get };
  };

  test('the newest epoch has a window of 1,024', () => {
    const { get } = start();
    expect(get(1, 5000)).toEqual(['OK', OPENED]);
    expect(get(1, 3977)).toEqual(['OK', NEWEST]);
    expect(get(1, 3976)).toEqual(['OUTSIDE_WINDOW', NEWEST]);
    expect(get(1, 3977)).toEqual(['REPLAY', NEWEST]);
    expect(get(1, 5001)).toEqual(['OK', NEWEST]);
    expect(get(1, 3977)).toEqual(['OUTSIDE_WINDOW', NEWEST]);
    expect(get(1, 3978)).toEqual(['OK', NEWEST]);
  });

  test('moving the window clears just the counters that it gains', () => {
    for (const step of [1, 2, 63, 64, 65, 127, 500, 1000, 1023, 1024, 1025, 5000]) {
      const { get } = start();
      for (const counter of [1000, 1001, 1024]) expect(get(1, counter)[0]).toBe('OK');
      expect(get(1, 1024 + step)[0]).toBe('OK');
      for (const counter of [1000, 1001, 1024]) {
        const expected = 1024 + step - counter >= 1024 ? 'OUTSIDE_WINDOW' : 'REPLAY';
        expect(get(1, counter)[0], `step ${step}, ${counter}`).toBe(expected);
      }
      const between = [1025, 1026, 1024 + step - 1].filter((counter) => counter > 1024 && counter < 1024 + step);
      for (const counter of new Set(between)) {
        const expected = 1024 + step - counter >= 1024 ? 'OUTSIDE_WINDOW' : 'OK';
        expect(get(1, counter)[0], `step ${step}, ${counter}`).toBe(expected);
      }
    }
  });

  test('counter 0 is refused and opens no epoch', () => {
    const { get } = start();
    expect(get(1, 0)).toEqual(['OUTSIDE_WINDOW', 0]);
    expect(get(1, 1)).toEqual(['OK', OPENED]);
    expect(get(1, 0)).toEqual(['OUTSIDE_WINDOW', NEWEST]);
  });

  test('the highest counter there is has a window like any other', () => {
    const { get } = start();
    const last = 2n ** 64n - 1n;
    expect(get(1, last - 1n)[0]).toBe('OK');
    expect(get(1, last)[0]).toBe('OK');
    expect(get(1, last)[0]).toBe('REPLAY');
    expect(get(1, last - 1023n)[0]).toBe('OK');
    expect(get(1, last - 1024n)[0]).toBe('OUTSIDE_WINDOW');
    expect(get(1, 1)[0]).toBe('OUTSIDE_WINDOW');
  });

  test('an older epoch keeps what it saw of its last 256 counters', () => {
    for (const highest of [1, 100, 255, 256, 257, 300, 511, 512, 1000, 1023, 1024, 1100, 1500, 2000, 4095, 70_000]) {
      const { get } = start();
      const below = [64, 65, 128, 191, 200, 255].map((n) => highest - n).filter((counter) => counter > 0);
      for (const counter of below) expect(get(1, counter)[0]).toBe('OK');
      expect(get(1, highest)[0]).toBe('OK');
      expect(get(2, 1)).toEqual(['OK', OPENED]);
      for (const counter of [...below, highest]) expect(get(1, counter), `${highest}`).toEqual(['REPLAY', 0]);
      if (highest > 257) expect(get(1, highest - 256)).toEqual(['OUTSIDE_WINDOW', 0]);
      for (const n of [1, 63, 66, 127, 192, 254]) {
        if (highest > n) expect(get(1, highest - n), `${highest} - ${n}`).toEqual(['OK', 0]);
      }
      expect(get(1, highest + 1)).toEqual(['OK', 0]);
    }
  });

  test('the recorded window of 256 is that of an older epoch', () => {
    for (const vector of readVectors<WindowVector[]>('tunnel-replay-window')) {
      const { get } = start();
      const [first, ...rest] = vector.steps;
      expect(get(1, BigInt(first!.counter))[0] === 'OK').toBe(first!.accept);
      get(2, 1);
      for (const step of rest) {
        const isAccepted = get(1, BigInt(step.counter))[0] === 'OK';
        expect(isAccepted, `case ${vector.case}, ${step.counter}`).toBe(step.accept);
      }
    }
  });

  test('four older epochs are held; the sixth prefix retires the one used least recently', () => {
    const { get } = start();
    for (const prefix of [1, 2, 3, 4, 5]) expect(get(prefix, 1)).toEqual(['OK', OPENED]);
    expect(get(1, 2)).toEqual(['OK', 0]);
    expect(get(6, 1)).toEqual(['OK', OPENED | 0x100]);
    expect(get(2, 2)).toEqual(['RETIRED', 0x100]);
    for (const prefix of [1, 3, 4, 5]) expect(get(prefix, 3)).toEqual(['OK', 0x100]);
    expect(get(7, 1)).toEqual(['OK', OPENED | 0x200]);
    expect(get(1, 4)).toEqual(['RETIRED', 0x200]);
    expect(get(6, 2)).toEqual(['OK', 0x200]);
  });

  test('a replay does not count as use of an epoch', () => {
    const { get } = start();
    for (const prefix of [1, 2, 3, 4, 5]) get(prefix, 1);
    expect(get(1, 1)).toEqual(['REPLAY', 0]);
    get(6, 1);
    expect(get(1, 2)[0]).toBe('RETIRED');
  });

  test('64 prefixes are retired, then no new one is taken and the held ones go on', () => {
    const { get } = start();
    for (let prefix = 1; prefix <= 69; prefix++) expect(get(prefix, 1)[0]).toBe('OK');
    expect(get(70, 1)).toEqual(['TOO_MANY_EPOCHS', 64 << 8]);
    expect(get(70, 2)[0]).toBe('TOO_MANY_EPOCHS');
    for (let prefix = 1; prefix <= 64; prefix++) expect(get(prefix, 2)).toEqual(['RETIRED', 64 << 8]);
    for (let prefix = 65; prefix <= 68; prefix++) expect(get(prefix, 2)).toEqual(['OK', 64 << 8]);
    expect(get(69, 2)).toEqual(['OK', NEWEST | (64 << 8)]);
  });

  test('prefix 0 is a prefix like any other', () => {
    const { get } = start();
    expect(get(9, 1)).toEqual(['OK', OPENED]);
    expect(get(0, 1)).toEqual(['OK', OPENED]);
    expect(get(0, 1)).toEqual(['REPLAY', NEWEST]);
  });

  test('a new key starts without epochs, windows and retired prefixes', () => {
    const { engine, get } = start();
    for (let prefix = 1; prefix <= 7; prefix++) get(prefix, 100);
    engine.wipe(0);
    expect(peer.install(engine)).toBe(0);
    expect(get(1, 1)).toEqual(['OK', OPENED]);
    expect(get(7, 100)).toEqual(['OK', OPENED]);
  });

  test('forged frames change no window, open no epoch and retire no prefix', () => {
    const { engine, get } = start();
    const forge = (prefix: number, counter: number | bigint): string => {
      const frame = peer.frame(prefix, counter);
      frame[frame.length - 3]! ^= 0x40;
      return deliver(engine, 0, frame).status;
    };
    expect(get(1, 1)).toEqual(['OK', OPENED]);
    expect(forge(1, 2n ** 64n - 1n)).toBe('AEAD_FAILED');
    expect(forge(1, 2)).toBe('AEAD_FAILED');
    for (let prefix = 100; prefix < 200; prefix++) expect(forge(prefix, 1)).toBe('AEAD_FAILED');
    expect(get(1, 2)).toEqual(['OK', NEWEST]);
    expect(get(100, 1)).toEqual(['OK', OPENED]);
  });
}
