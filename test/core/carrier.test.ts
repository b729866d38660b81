/** Which carrier is chosen, and when. */
import { expect, test } from 'vitest';
import { Carrier } from '../../src/core/carrier.ts';

function asked(): Carrier {
  const carrier = new Carrier('auto');
  carrier.handleAsked(1_000);
  return carrier;
}

test('what was asked for is used, whatever answers', () => {
  const udp = new Carrier('udp');
  udp.handleAsked(1_000);
  expect([udp.pollTimeout(), udp.wantsBridge, udp.isDecided]).toEqual([Number.POSITIVE_INFINITY, false, true]);
  const web = new Carrier('websocket');
  web.handleReflexive();
  web.handleFailed('NOT_SUPPORTED');
  expect([web.name, web.reason, web.wantsBridge, web.isDecided]).toEqual(['websocket', 'asked-for', true, false]);
  web.handleReady();
  expect(web.isDecided).toBe(true);
});

test('the WebSocket is tried after 1.5 s without an answer, and taken when it works', () => {
  const carrier = asked();
  expect([carrier.handleTimeout(2_499), carrier.wantsBridge]).toEqual([false, false]);
  expect([carrier.handleTimeout(2_500), carrier.wantsBridge]).toEqual([true, true]);
  expect([carrier.name, carrier.isDecided]).toEqual(['udp', false]);
  expect(carrier.handleReady()).toBe(true);
  expect([carrier.name, carrier.reason, carrier.isDecided]).toEqual(['websocket', 'beacon-silent-over-udp', true]);
  expect([carrier.handleReady(), carrier.handleTimeout(9_000)]).toEqual([false, false]);
  carrier.handleReflexive();
  expect(carrier.name).toBe('websocket');
});

test('an answer over UDP decides, before and while the WebSocket is tried', () => {
  for (const isTried of [false, true]) {
    const carrier = asked();
    if (isTried) carrier.handleTimeout(2_500);
    carrier.handleReflexive();
    expect([carrier.name, carrier.reason, carrier.wantsBridge]).toEqual(['udp', 'beacon-answers-over-udp', false]);
    expect([carrier.handleTimeout(9_000), carrier.handleReady()]).toEqual([false, false]);
  }
});

test('another beacon has its own time to answer', () => {
  const carrier = asked();
  carrier.handleAsked(2_000);
  expect([carrier.handleTimeout(2_500), carrier.handleTimeout(3_500)]).toEqual([false, true]);
});

test('with neither, UDP it is; a WebSocket that may come is tried on, one that is not there is not', () => {
  const carrier = asked();
  carrier.handleTimeout(2_500);
  carrier.handleFailed('RENDEZVOUS_UNREACHABLE');
  const reason = 'beacon-silent-over-udp-and-no-websocket';
  expect([carrier.name, carrier.reason, carrier.isDecided, carrier.wantsBridge]).toEqual(['udp', reason, true, true]);
  carrier.handleFailed('NOT_SUPPORTED');
  expect(carrier.wantsBridge).toBe(false);
});
