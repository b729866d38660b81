/**
 * The native addon (addon/), where there is one: sockets that carry many datagrams per call, and AES-256-GCM by the processor's
 * own instructions. Everything works without it; why it is not used is said in `stats().engine` and `stats().host`.
 *
 * Looked for in this order: what `PILOTWIRE_ADDON` names (`0`: nothing), the package for this platform, what
 * `npm run build:addon` made.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** What this file expects of the addon (addon/module.cc). */
const VERSION = 1;
const BUILT = 'addon/build/Release/pilotwire.node';
/** From the source, and from the bundles in dist/ and the folders below it. */
const PLACES = [`./${BUILT}`, `../bindings/node/${BUILT}`, `../../bindings/node/${BUILT}`];

/** What the addon exports. */
export interface Addon {
  readonly version: number;
  /** Instruction sets of this processor that it has code for, the fastest first. */
  readonly kernels: readonly string[];
  readonly Aead: new (kernel: string, sessions: number) => AddonAead;
  readonly Poller: PollerClass;
}

/** AES-256-GCM for batches; see `BatchAead` (src/engine/aead.ts). */
export interface AddonAead {
  seal(memory: Uint8Array, records: number, count: number): number;
  open(memory: Uint8Array, records: number, count: number): void;
  forget(session: number): void;
  /** CRC-32 of at least 16 bytes. */
  crc32(memory: Uint8Array, at: number, length: number): number;
}

/** Makes pollers, and says how their words lie (addon/socket.h). */
export interface PollerClass {
  new (options: PollerOptions): Poller;
  /** `[scope, four words]` of a literal address of that family as the kernel has it; undefined when it is none. */
  parse(address: string, isIPv6: boolean): readonly number[] | undefined;
  readonly messageWords: number;
  readonly sendWords: number;
  /** Bytes of the ring for one message. */
  readonly slotBytes: number;
}

/** Where a poller receives, and whom it tells. */
export interface PollerOptions {
  /** Whether a thread waits: where the event loop is not libuv's. */
  readonly thread: boolean;
  readonly ring: Uint8Array;
  readonly messages: Uint32Array;
  /** `count` messages of a socket are in the ring, until this returns. */
  received(id: number, count: number): void;
  /** The kernel has room again for a socket that it had none for. */
  writable(id: number): void;
}

/** Sockets that share a ring. Ids are theirs. */
export interface Poller {
  /** @throws Error with a `code` of errno. */
  bind(address: string, port: number, isIPv6: boolean, joins: boolean): number;
  describe(id: number): { address: string; port: number; joins: boolean; splits: boolean };
  send(id: number, buffers: SendBuffers, first: number, count: number): number;
  /** The sender of a message in text. */
  sender(message: number, isIPv6: boolean): string;
  keep(id: number, isKept: boolean): void;
  close(id: number): void;
}

/** What datagrams to send lie in. */
export interface SendBuffers {
  readonly lent: Uint8Array;
  readonly own: Uint8Array;
  readonly datagrams: Uint32Array;
}

/** The addon, or why there is none: a few words, such as `not built`. */
export type FoundAddon = Addon | string;

/** Finds and loads it. Does not throw. @param asked - Default: the variable of the environment. */
export function findAddon(asked: string | undefined = process.env.PILOTWIRE_ADDON): FoundAddon {
  if (asked === '0') return 'turned off';
  try {
    // A bundle as CommonJS has no URL: there is no addon beside it either.
    const require = createRequire(import.meta.url);
    const path = asked ? asked : (packaged(require) ?? built());
    return path === undefined ? 'not built' : checked(require(path));
  } catch (error) {
    return `does not load: ${String((error as Error).message).split('\n', 1)[0]}`;
  }
}

/** For `stats`: nothing when it is used, else why it is not. */
export function reasonOf(found: FoundAddon | undefined): string {
  return typeof found === 'string' ? ` (addon: ${found})` : '';
}

function packaged(require: NodeJS.Require): string | undefined {
  try {
    return require.resolve(`@pilotwire/addon-${process.platform}-${process.arch}`);
  } catch {
    return undefined;
  }
}

function built(): string | undefined {
  return PLACES.map((place) => fileURLToPath(new URL(place, import.meta.url))).find((path) => existsSync(path));
}

function checked(loaded: unknown): FoundAddon {
  const { version } = loaded as Addon;
  return version === VERSION ? (loaded as Addon) : `has version ${version}, not ${VERSION}`;
}
