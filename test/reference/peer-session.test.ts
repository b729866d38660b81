// Sessions by themselves: what ends one, and which windows move when (DP 3.11, 3.12).
import { expect, test } from 'vitest';
import { filled } from './peer-rig.ts';
import { type OpenedFrame, PeerSession, sealFrame } from './peer-session.ts';
import { PeerEpochs } from './peer-window.ts';

const KEY = filled(32, 7);

/** One session and the other side of it. */
class Sealed {
  readonly session: PeerSession;

  constructor(windowBeforeAead: boolean) {
    this.session = new PeerSession({ key: KEY, theirKey: KEY, prefix: 1, now: 0, windowBeforeAead });
  }

  gets(now: number, counter: bigint, prefix = 9): OpenedFrame {
    return this.session.open(sealFrame(KEY, { sender: 3, prefix, counter }, filled(40)), now);
  }

  /** A frame with a wrong tag. */
  getsForged(now: number, counter: bigint): OpenedFrame {
    const frame = sealFrame(KEY, { sender: 3, prefix: 9, counter }, filled(40));
    frame[30]! ^= 1;
    return this.session.open(frame, now);
  }

  /** Whether `n` forged frames, one after another, lose the session; the last decides. */
  isLostAfterForged(n: number, now: number): boolean {
    let isLost = false;
    for (let i = 0; i < n; i++) isLost = this.getsForged(now, 77n).isLost;
    return isLost;
  }
}

test('before the tag is verified only the bit is taken back', () => {
  const t = new Sealed(true);
  expect(t.getsForged(0, 300n).status).toBe('aead_failed');
  expect(t.gets(0, 300n).status).toBe('ok');
  expect(t.gets(0, 44n).status).toBe('outside');
});

test('five failures in a row lose a session that is 3 s old', () => {
  expect(new Sealed(false).isLostAfterForged(5, 2999)).toBe(false);
  expect(new Sealed(false).isLostAfterForged(4, 3000)).toBe(false);
  expect(new Sealed(false).isLostAfterForged(5, 3000)).toBe(true);
});

test('a frame that opens begins the count anew', () => {
  const t = new Sealed(false);
  expect(t.isLostAfterForged(4, 5000)).toBe(false);
  t.gets(5000, 1n);
  expect(t.isLostAfterForged(4, 5000)).toBe(false);
  expect(t.isLostAfterForged(1, 5000)).toBe(true);
});

test('an old session is never lost', () => {
  expect(new Sealed(true).isLostAfterForged(50, 90_000)).toBe(false);
});

test('five repetitions lose a session whose newest epoch is 1 s old, one suffices after 1 min', () => {
  const repeated = (n: number, now: number): boolean => {
    const t = new Sealed(false);
    t.gets(0, 1n);
    let isLost = false;
    for (let i = 0; i < n; i++) isLost = t.gets(now, 1n).isLost;
    return isLost;
  };
  expect(repeated(5, 999)).toBe(false);
  expect(repeated(4, 1000)).toBe(false);
  expect(repeated(5, 1000)).toBe(true);
  expect(repeated(1, 59_999)).toBe(false);
  expect(repeated(1, 60_000)).toBe(true);
});

test('what an older epoch refuses counts for nothing', () => {
  const t = new Sealed(false);
  t.gets(0, 1n, 9);
  t.gets(0, 1n, 10);
  for (let i = 0; i < 10; i++) expect(t.gets(90_000, 1n, 9)).toMatchObject({ status: 'stale', isLost: false });
});

test('the epoch unused for longest leaves', () => {
  const epochs = new PeerEpochs();
  for (let prefix = 1; prefix <= 5; prefix++) epochs.accept(prefix, 1n, 0);
  epochs.accept(1, 2n, 0);
  epochs.accept(6, 1n, 0);
  expect(epochs.accept(2, 2n, 0).status).toBe('stale');
  expect(epochs.accept(1, 3n, 0).status).toBe('ok');
});
