/**
 * The Node host: clock, timers and randomness, and the list of what the neighbours make (udp, links, files, keys).
 * It knows the operating system and nothing of the protocol; `src/carrier/host.ts` is its contract.
 */
import { randomFillSync } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import type { Host, Timer } from '../../src/carrier/host.ts';
import type { Millis } from '../../src/config.ts';
import { PilotError } from '../../src/errors.ts';
import { type Addon, type FoundAddon, reasonOf } from './addon.ts';
import { createBindUdp } from './addon-udp.ts';
import type { BindUdp } from './addresses.ts';
import { createFiles } from './files.ts';
import { createPublicKeyJobs } from './keys.ts';
import { connectLink, listenLink } from './links.ts';
import { bindUdp } from './udp.ts';
import { builtInWebSocket, connectWebSocket } from './websocket.ts';

/** The longest delay of a Node timer; a longer one would fire at once. */
const LONGEST_DELAY_MS: Millis = 2 ** 31 - 1;

/** Options of `createNodeHost`. */
export interface NodeHostOptions {
  /** Whether the process may end although sockets, links and timers of this host are open. Default false. */
  readonly unref?: boolean;
  /** Sockets of another runtime that has Node's modules, and what it is called. Default: those of Node. */
  readonly sockets?: Sockets;
  /** The addon, whose sockets take the place of the others, or why there is none. Omitted: nobody looked for it. */
  readonly addon?: FoundAddon;
}

/** The sockets of a runtime. */
export interface Sockets {
  /** Such as `node 20.20.2`. */
  readonly runtime: string;
  /** Such as `dgram`. */
  readonly name: string;
  readonly bindUdp: BindUdp;
}

/** Makes what the driver and the server need from Node. Hosts share nothing; several may live in one process. */
export function createNodeHost(options: NodeHostOptions = {}): Host {
  const { unref = false, addon } = options;
  const own = options.sockets ?? { runtime: `node ${process.versions.node}`, name: 'dgram', bindUdp };
  const sockets = typeof addon === 'object' ? socketsOf(addon, own.runtime) : own;
  const setTimer = (delayMs: Millis, callback: () => void): Timer => {
    const timer = delayMs <= 0 ? new TurnTimer(callback) : new DelayTimer(delayMs, callback);
    if (unref) timer.unref();
    return timer;
  };
  return {
    runtime: `${sockets.runtime} ${sockets.name}${reasonOf(addon)}`,
    now: () => performance.now(),
    unixNow: () => Date.now(),
    setTimer,
    random: (into) => {
      randomFillSync(into);
    },
    resolve: async (name) => {
      try {
        return (await lookup(name)).address;
      } catch (cause) {
        throw new PilotError('NOT_FOUND', `Cannot find host ${name}: no such name`, { cause });
      }
    },
    bindUdp: (udp) => sockets.bindUdp(udp, { unref }),
    connectLink: (target, handler) => {
      const link = connectLink(target, handler);
      if (unref) link.unref();
      return link;
    },
    connectWebSocket: (target, handler) =>
      connectWebSocket(target, handler, { setTimer, unref, builtIn: builtInWebSocket() }),
    listenLink: (listen, accept) => listenLink(listen, accept, { unref }),
    files: createFiles(),
    jobs: createPublicKeyJobs(),
  };
}

function socketsOf(addon: Addon, runtime: string): Sockets {
  // Bun ends the process when a module asks for libuv's loop, and Deno's stand-in for it hears next to nothing.
  const isLibuv = process.versions.bun === undefined && process.versions.deno === undefined;
  return { runtime, name: 'addon', bindUdp: createBindUdp(addon, !isLibuv) };
}

/** After the present turn: when the callbacks of all sockets that were readable have run. */
class TurnTimer implements Timer {
  readonly #immediate: NodeJS.Immediate;

  constructor(callback: () => void) {
    this.#immediate = setImmediate(callback);
  }

  cancel(): void {
    clearImmediate(this.#immediate);
  }

  unref(): void {
    this.#immediate.unref();
  }
}

class DelayTimer implements Timer {
  readonly #due: Millis;
  readonly #callback: () => void;
  #timeout: NodeJS.Timeout;
  #isUnref = false;

  constructor(delayMs: Millis, callback: () => void) {
    this.#due = performance.now() + delayMs;
    this.#callback = callback;
    this.#timeout = this.#start(delayMs);
  }

  cancel(): void {
    clearTimeout(this.#timeout);
  }

  unref(): void {
    this.#isUnref = true;
    this.#timeout.unref();
  }

  #start(remainingMs: Millis): NodeJS.Timeout {
    return setTimeout(() => this.#fire(), Math.min(Math.ceil(remainingMs), LONGEST_DELAY_MS));
  }

  #fire(): void {
    const remainingMs = this.#due - performance.now();
    if (remainingMs <= 0) {
      this.#callback();
      return;
    }
    // Node counts in whole milliseconds from a rounded start and so comes up to one early; or the delay was in parts.
    this.#timeout = this.#start(remainingMs);
    if (this.#isUnref) this.#timeout.unref();
  }
}
