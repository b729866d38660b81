import { beforeEach, expect, test } from 'vitest';
import { Path } from '../../src/core/path.ts';
import { NO_PATH } from '../../src/core/paths.ts';

let path: Path;
beforeEach(() => {
  path = new Path();
});

/** Runs the timer every 100 ms. @returns When the direct path was to be tried. */
function tries(from: number, to: number, each: (now: number) => void = () => {}): number[] {
  const found: number[] = [];
  for (let now = from; now <= to; now += 100) {
    each(now);
    let turns = 0;
    do {
      if (path.handleTimeout(now)) found.push(now);
      expect(++turns, 'a timer that is due again and again').toBeLessThan(5);
    } while (path.pollTimeout() <= now);
  }
  return found;
}

test('without an address everything goes through the beacon', () => {
  expect(path.isRelayed).toBe(true);
  expect(path.direct).toBe(NO_PATH);
  expect(path.reason).toBe('no-contact-yet');
  path.noteSent(0);
  expect(path.pollTimeout()).toBe(Number.POSITIVE_INFINITY);
});

test('an address from the registry is used, another takes its place, a proven one stays', () => {
  expect(path.suggest(1, false)).toBe(true);
  expect(path.suggest(1, false)).toBe(false);
  expect([path.direct, path.isRelayed, path.reason]).toEqual([1, false, 'address-from-registry']);
  expect(path.suggest(2, false)).toBe(true);
  expect(path.handleDirect(5, 3)).toBe(true);
  expect(path.handleDirect(6, 3)).toBe(false);
  expect(path.suggest(4, false)).toBe(false);
  expect([path.direct, path.isProven, path.reason]).toEqual([3, true, 'answered-directly']);
});

test('8 s without an answer to the first of several sends lead to the relay', () => {
  path.suggest(1, false);
  for (let now = 1_000; now <= 8_900; now += 100) {
    path.noteSent(now);
    expect(path.handleTimeout(now)).toBe(false);
  }
  expect(path.pollTimeout()).toBe(9_000);
  path.handleTimeout(9_000);
  expect([path.isRelayed, path.reason]).toEqual([true, 'direct-path-fell-silent']);
});

test('an answer ends the wait', () => {
  path.suggest(1, false);
  path.noteSent(1_000);
  path.handleDirect(2_000, 1);
  expect(path.pollTimeout()).toBe(Number.POSITIVE_INFINITY);
  path.noteSent(60_000);
  expect(path.pollTimeout()).toBe(68_000);
});

test('a relayed peer is tried directly every 15 s, each time twice a second apart', () => {
  path.suggest(1, false);
  path.handleUnanswered(0);
  expect(tries(0, 50_000)).toEqual([15_000, 16_000, 31_000, 32_000, 47_000, 48_000]);
});

test('frames that come straight while ours are relayed cause one try a second, not one each', () => {
  path.suggest(1, false);
  path.handleUnanswered(0);
  const found = tries(0, 5_000, (now) => {
    for (let i = 0; i < 10; i++) path.handleDirect(now, 1);
  });
  expect(found).toEqual([0, 1_000, 2_000, 3_000, 4_000, 5_000]);
  expect(path.isRelayed).toBe(true);
});

test('the relay is left when a ping that went straight was answered straight', () => {
  path.suggest(1, false);
  path.handleUnanswered(0);
  path.handleDirect(100, 1);
  expect(path.isRelayed).toBe(true);
  path.handleDirectAnswer();
  expect([path.isRelayed, path.isProven, path.reason]).toEqual([false, true, 'answered-directly']);
  expect(path.pollTimeout()).toBe(Number.POSITIVE_INFINITY);
});

test('an unproven direct path gives way to the first relayed frame, a proven one does not', () => {
  path.suggest(1, false);
  path.handleRelayed(10);
  expect([path.isRelayed, path.reason]).toEqual([true, 'only-the-relay-answers']);
  const other = new Path();
  other.handleDirect(0, 1);
  other.handleRelayed(10);
  expect(other.isRelayed).toBe(false);
});

test('a peer that wants the relay is not tried, and no timer runs for it, whatever comes straight', () => {
  path.suggest(1, false);
  path.suggest(1, true);
  expect([path.isRelayed, path.reason]).toEqual([true, 'peer-wants-the-relay']);
  expect(tries(0, 40_000, (now) => void path.handleDirect(now, 1))).toEqual([]);
  expect(path.pollTimeout()).toBe(Number.POSITIVE_INFINITY);
  path.handleDirectAnswer();
  path.retry(40_000);
  expect([path.isRelayed, path.pollTimeout()]).toEqual([true, Number.POSITIVE_INFINITY]);
});

test('a peer that no longer wants the relay is tried again', () => {
  path.suggest(1, true);
  expect(path.suggest(1, false)).toBe(true);
  expect(path.handleTimeout(1_000)).toBe(true);
  const known = new Path();
  known.suggest(1, false);
  known.suggest(1, true);
  expect(known.suggest(1, false)).toBe(false);
  expect(known.pollTimeout()).toBeLessThanOrEqual(1_000);
  expect(known.handleTimeout(1_000)).toBe(true);
});

test('a new address of a relayed peer is tried at once', () => {
  path.suggest(1, false);
  path.handleUnanswered(0);
  path.suggest(2, false);
  expect(path.handleTimeout(10)).toBe(true);
  expect(path.handleTimeout(10)).toBe(false);
});

test('retry() tries at once when relayed', () => {
  path.suggest(1, false);
  path.handleUnanswered(0);
  path.retry(10);
  expect(path.handleTimeout(10)).toBe(true);
});

test('a relay chosen without any address is left once one is known and answers', () => {
  path.handleUnanswered(0);
  expect(path.isRelayed).toBe(true);
  expect(path.suggest(3, false)).toBe(true);
  expect(path.handleTimeout(5)).toBe(true);
  path.handleDirect(20, 3);
  path.handleDirectAnswer();
  expect([path.isRelayed, path.direct]).toEqual([false, 3]);
});
