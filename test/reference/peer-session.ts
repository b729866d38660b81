/**
 * Keys and counters with one node, and the PILS frame (DP 3.5, 3.9, 3.11). Plain: every frame goes through node:crypto.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { readU32, writeU32 } from '../../src/wire/integers.ts';
import { MAGIC } from '../../src/wire/packet.ts';
import { PeerEpochs, PeerWindow } from './peer-window.ts';

const SENDER = 4;
const PREFIX = 8;
const COUNTER = 12;
const HEADER = 20;
const TAG = 16;

/** The clear part of a PILS frame. */
export interface SealedFrame {
  /** Node id; the AAD. */
  readonly sender: number;
  readonly prefix: number;
  readonly counter: bigint;
}

/** Makes a PILS frame around any plaintext, which need not be a packet. */
export function sealFrame(key: Uint8Array, frame: SealedFrame, plaintext: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER + plaintext.length + TAG);
  writeU32(bytes, 0, MAGIC.PILS);
  writeU32(bytes, SENDER, frame.sender);
  writeU32(bytes, PREFIX, frame.prefix);
  new DataView(bytes.buffer).setBigUint64(COUNTER, frame.counter);
  const cipher = createCipheriv('aes-256-gcm', key, bytes.subarray(PREFIX, HEADER));
  cipher.setAAD(bytes.subarray(SENDER, PREFIX));
  bytes.set(cipher.update(plaintext), HEADER);
  cipher.final();
  bytes.set(cipher.getAuthTag(), HEADER + plaintext.length);
  return bytes;
}

/** Reads the clear part; undefined when the bytes are no PILS frame. */
export function readFrame(bytes: Uint8Array): SealedFrame | undefined {
  if (bytes.length < HEADER + TAG || readU32(bytes, 0) !== MAGIC.PILS) return undefined;
  const counter = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(COUNTER);
  return { sender: readU32(bytes, SENDER), prefix: readU32(bytes, PREFIX), counter };
}

/** The plaintext; undefined when the tag is wrong. */
export function openFrame(key: Uint8Array, bytes: Uint8Array): Uint8Array | undefined {
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(PREFIX, HEADER));
  decipher.setAAD(bytes.subarray(SENDER, PREFIX));
  decipher.setAuthTag(bytes.subarray(bytes.length - TAG));
  const plaintext = decipher.update(bytes.subarray(HEADER, bytes.length - TAG));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return new Uint8Array(plaintext);
}

/** What a session says of a frame. `lost`: five failures in a row, or too many prefixes: drop the session (DP 3.12). */
export interface OpenedFrame {
  readonly status: 'ok' | 'aead_failed' | 'replay' | 'outside' | 'stale' | 'exhausted';
  /** Only with `ok`. */
  readonly plaintext: Uint8Array;
  readonly isLost: boolean;
}

/** How a session is made. */
export interface SessionSetup {
  readonly key: Uint8Array;
  /** X25519 public key of the other side. */
  readonly theirKey: Uint8Array;
  readonly prefix: number;
  readonly now: number;
  readonly windowBeforeAead: boolean;
}

const NOTHING: Uint8Array = new Uint8Array(0);
const FAILURES = 5;
const AEAD_GRACE_MS = 3000;
const WINDOW_GRACE_MS = 1000;
const OLD_EPOCH_MS = 60_000;

/** One session. */
export class PeerSession {
  readonly key: Uint8Array;
  readonly theirKey: Uint8Array;
  readonly prefix: number;
  readonly since: number;
  /** Of the last frame sent; the first has 1. */
  counter = 0n;
  readonly #windowBeforeAead: boolean;
  readonly #window: PeerWindow = new PeerWindow();
  readonly #epochs: PeerEpochs = new PeerEpochs();
  #aeadFailures = 0;
  #windowFailures = 0;

  constructor(setup: SessionSetup) {
    this.key = setup.key;
    this.theirKey = setup.theirKey;
    this.prefix = setup.prefix;
    this.since = setup.now;
    this.#windowBeforeAead = setup.windowBeforeAead;
  }

  /** Takes the next counter. */
  seal(sender: number, plaintext: Uint8Array): Uint8Array {
    this.counter += 1n;
    return sealFrame(this.key, { sender, prefix: this.prefix, counter: this.counter }, plaintext);
  }

  /** @param bytes - A frame that `readFrame` took for one. */
  open(bytes: Uint8Array, now: number): OpenedFrame {
    return this.#windowBeforeAead ? this.#openOld(bytes) : this.#openNew(bytes, now);
  }

  #openOld(bytes: Uint8Array): OpenedFrame {
    const { counter } = readFrame(bytes)!;
    const status = this.#window.accept(counter);
    if (status !== 'ok') return { status, plaintext: NOTHING, isLost: false };
    const plaintext = openFrame(this.key, bytes);
    if (plaintext !== undefined) return { status: 'ok', plaintext, isLost: false };
    this.#window.clear(counter);
    return { status: 'aead_failed', plaintext: NOTHING, isLost: false };
  }

  #openNew(bytes: Uint8Array, now: number): OpenedFrame {
    const plaintext = openFrame(this.key, bytes);
    if (plaintext === undefined) {
      this.#aeadFailures += 1;
      const isLost = this.#aeadFailures >= FAILURES && now - this.since >= AEAD_GRACE_MS;
      return { status: 'aead_failed', plaintext: NOTHING, isLost };
    }
    this.#aeadFailures = 0;
    const { prefix, counter } = readFrame(bytes)!;
    const { status, isNewest, newestSince } = this.#epochs.accept(prefix, counter, now);
    if (status === 'ok') {
      if (isNewest) this.#windowFailures = 0;
      return { status, plaintext, isLost: false };
    }
    if (status === 'stale') return { status, plaintext: NOTHING, isLost: false };
    if (status === 'exhausted') return { status, plaintext: NOTHING, isLost: true };
    this.#windowFailures += 1;
    const age = now - newestSince;
    const isLost = age >= OLD_EPOCH_MS || (this.#windowFailures >= FAILURES && age >= WINDOW_GRACE_MS);
    return { status, plaintext: NOTHING, isLost };
  }
}
