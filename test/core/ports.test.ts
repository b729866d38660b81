import { expect, test } from 'vitest';
import { TIMERS } from '../../src/config.ts';
import { Ports } from '../../src/core/ports.ts';

const FIRST = 49_152;
const COUNT = 65_536 - FIRST;
const FREE = (): boolean => false;

test('any integer chooses the first port, negative ones included', () => {
  for (const start of [0, 1, COUNT, COUNT + 7, 65_535, -1, -COUNT, -70_000]) {
    const port = new Ports(start).ephemeral(0, 1, FREE)!;
    expect(port, `start ${start}`).toBeGreaterThanOrEqual(FIRST);
    expect(port, `start ${start}`).toBeLessThanOrEqual(65_535);
  }
});

test('all ports are handed out before any comes again', () => {
  const ports = new Ports(12_345);
  const got = new Set(Array.from({ length: COUNT }, () => ports.ephemeral(0, 1, FREE)));
  expect(got.size).toBe(COUNT);
});

test('a port that rests towards one peer is free towards another', () => {
  const ports = new Ports(0);
  ports.rest(1_000, 1, FIRST);
  expect(ports.ephemeral(1_000, 2, (port) => port !== FIRST)).toBe(FIRST);
  expect(ports.ephemeral(1_000 + TIMERS.tupleReuseMs - 1, 1, (port) => port !== FIRST)).toBeUndefined();
  expect(ports.ephemeral(1_000 + TIMERS.tupleReuseMs, 1, (port) => port !== FIRST)).toBe(FIRST);
});

test('a port that came to rest again rests 30 s from then', () => {
  const ports = new Ports(0);
  ports.rest(0, 1, FIRST);
  ports.rest(20_000, 1, FIRST);
  // Others that rest later push out nothing that is still resting.
  ports.rest(40_000, 2, FIRST + 1);
  expect(ports.ephemeral(49_999, 1, (port) => port !== FIRST)).toBeUndefined();
  expect(ports.ephemeral(50_000, 1, (port) => port !== FIRST)).toBe(FIRST);
});

test('peers and ports are not mistaken for each other', () => {
  const ports = new Ports(0);
  ports.rest(0, 0xffff_ffff, FIRST);
  expect(ports.ephemeral(1, 0, (port) => port !== FIRST)).toBe(FIRST);
  expect(ports.ephemeral(1, 0xffff_fffe, (port) => port !== FIRST)).toBe(FIRST);
  expect(ports.ephemeral(1, 0xffff_ffff, (port) => port !== FIRST)).toBeUndefined();
});

test('no ephemeral port is one that somebody listens on', () => {
  const ports = new Ports(0);
  ports.listen(FIRST);
  ports.bindDatagrams(FIRST + 1);
  expect(ports.ephemeral(0, 1, FREE)).toBe(FIRST + 2);
  ports.unlisten(FIRST);
  expect(ports.ephemeral(0, 1, (port) => port !== FIRST)).toBe(FIRST);
});

test('what rests is bounded; the oldest leaves', () => {
  const ports = new Ports(0);
  for (let peer = 1; peer <= 70_000; peer++) ports.rest(peer / 10_000, peer, FIRST);
  expect(ports.ephemeral(10, 1, (port) => port !== FIRST)).toBe(FIRST);
  expect(ports.ephemeral(10, 70_000, (port) => port !== FIRST)).toBeUndefined();
});

test('of what rests, that goes first which rested first the last time', () => {
  const ports = new Ports(0);
  for (let peer = 1; peer <= 65_536; peer++) ports.rest(0, peer, FIRST);
  ports.rest(1, 5, FIRST);
  for (let peer = 70_000; peer < 70_006; peer++) ports.rest(1, peer, FIRST);
  expect(ports.ephemeral(10, 5, (port) => port !== FIRST)).toBeUndefined();
  expect(ports.ephemeral(10, 4, (port) => port !== FIRST)).toBe(FIRST);
});

test('one listens on a port, for streams and for datagrams apart', () => {
  const ports = new Ports(0);
  expect([ports.listen(7), ports.listen(7), ports.bindDatagrams(7), ports.bindDatagrams(7)]).toEqual([
    true,
    false,
    true,
    false,
  ]);
  expect(ports.listening()).toEqual([7]);
  expect([ports.listener(7)?.backlog, ports.listener(8)]).toEqual([[0, 0], undefined]);
  ports.unlisten(7);
  expect([ports.listener(7), ports.takesDatagrams(7), ports.listen(7)]).toEqual([undefined, true, true]);
  ports.unbindDatagrams(7);
  expect(ports.takesDatagrams(7)).toBe(false);
});
