/**
 * The host of pages and workers: clock, timers, randomness and WebSockets. Sockets of other kinds do not exist here, and
 * asking for one says so. `src/carrier/host.ts` is its contract.
 */
import type { Files, Host, PublicKeyJobs, Timer, WebSocketHandler, WebSocketTarget } from '../../src/carrier/host.ts';
import { connectStandardWebSocket } from '../../src/carrier/websocket.ts';
import type { Millis } from '../../src/config.ts';
import { PilotError } from '../../src/errors.ts';
import { TurnTimers, waitTimer } from './timers.ts';

/** Bytes that `getRandomValues` gives at a time. */
const RANDOM_BYTES = 65_536;
const HINT = 'a page has WebSockets alone: transport "websocket"';

/** What the neighbours make. */
export interface BrowserHostParts {
  readonly files: Files;
  readonly jobs: PublicKeyJobs;
}

/** Whether this is a page, and not a worker of one. */
export function isPage(): boolean {
  return 'document' in globalThis;
}

/** Makes what the driver needs from a browser. */
export function createBrowserHost({ files, jobs }: BrowserHostParts): Host {
  const turns = new TurnTimers();
  const setTimer = (delayMs: Millis, callback: () => void): Timer =>
    delayMs <= 0 ? turns.set(callback) : waitTimer(delayMs, callback);
  return {
    runtime: isPage() ? 'page WebSocket' : 'worker WebSocket',
    now: () => performance.now(),
    unixNow: () => Date.now(),
    setTimer,
    random: (into) => {
      for (let at = 0; at < into.length; at += RANDOM_BYTES) {
        crypto.getRandomValues(into.subarray(at, at + RANDOM_BYTES) as Uint8Array<ArrayBuffer>);
      }
    },
    // Names are the browser's affair; nothing here can look one up.
    resolve: async (name) => name,
    bindUdp: () => Promise.reject(notSupported('bind a UDP socket')),
    connectLink: ({ host, port }, handler) => {
      const timer = setTimer(0, () => handler.closed(notSupported(`open a TCP link to ${host}:${port}`)));
      const end = (): void => timer.cancel();
      return { write: () => true, close: end, destroy: end, unref() {} };
    },
    connectWebSocket: (target, handler) => connectWebSocket(target, handler, setTimer),
    listenLink: () => Promise.reject(notSupported('listen on a TCP port')),
    files,
    jobs,
  };
}

function connectWebSocket(target: WebSocketTarget, handler: WebSocketHandler, setTimer: Host['setTimer']) {
  return connectStandardWebSocket(target, handler, {
    setTimer,
    make: () => {
      if (target.pin === undefined) return new WebSocket(target.url, target.protocol);
      throw new PilotError('NOT_SUPPORTED', `Cannot pin the certificate of ${target.url}: browsers have no way to`, {
        hint: 'let the browser trust the certificate, and leave #sha256=… out',
      });
    },
    // Browsers keep from pages why a WebSocket failed, lest they map a network with it.
    explain: (event) =>
      event instanceof PilotError
        ? event
        : new PilotError('RENDEZVOUS_UNREACHABLE', `Cannot reach ${target.url}: the browser does not tell why`, {
            cause: event,
            hint: 'does it run, does it allow the origin of this page (--allow-origin), and does connect-src of the page allow it?',
          }),
  });
}

function notSupported(what: string): PilotError {
  return new PilotError('NOT_SUPPORTED', `Cannot ${what}: not in a browser`, { hint: HINT });
}
