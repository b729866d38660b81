/**
 * A peer of the existing network as the key exchange sees it (DP 3.10 to 3.12): one X25519 pair for its whole life, one
 * session, no candidate. Two generations: `april` and `newest`.
 */
import { createPublicKeyJobs } from '../../bindings/node/keys.ts';
import { readU32, writeU32 } from '../../src/wire/integers.ts';
import { emitPila, emitPilk, parseKeyExchange, signedExchange, TUNNEL_INFO } from '../../src/wire/key-exchange.ts';
import { FLAG, MAGIC, PROTOCOL } from '../../src/wire/packet.ts';
import { openFrame, sealFrame } from '../reference/engine.ts';
import { emitPacket, type Packet, parsePacket } from '../reference/packet.ts';
import type { End, World } from './exchange-rig.ts';

const RETRY_MS = 4_000;
const SENDS = 6;
const NEVER = Number.NEGATIVE_INFINITY;

interface Session {
  readonly key: Uint8Array;
  readonly peerKey: Uint8Array;
  readonly createdAt: number;
  prefix: number;
  counter: number;
  failures: number;
}

export class ReferencePeer implements End {
  readonly id: number;
  readonly peerId: number;
  readonly received: Set<number> = new Set();
  session: Session | undefined;
  /** Sessions made, repetitions included. */
  installs = 0;
  /** Drawn prefixes, if the test wants certain ones. */
  drawPrefix: () => number = () => this.#world.random.next(2 ** 31);
  readonly #world: World;
  readonly #generation: 'april' | 'newest';
  readonly #keys = createPublicKeyJobs();
  readonly #identity: { identity: number; publicKey: Uint8Array };
  #pair: { exchange: number; publicKey: Uint8Array };
  readonly #out: Uint8Array[] = [];
  readonly #waiting: number[] = [];
  #next = 0;
  #sends = 0;
  #nextSendAt: number = Number.POSITIVE_INFINITY;
  #openedAt = NEVER;
  #repliedAt = NEVER;
  #recoveredAt = NEVER;

  constructor(world: World, ids: [id: number, peerId: number], generation: 'april' | 'newest') {
    this.#world = world;
    [this.id, this.peerId] = ids;
    this.#generation = generation;
    this.#identity = this.#keys.importIdentity(world.random.bytes(32));
    this.#pair = this.#keys.createExchange(world.random.bytes(32));
    world.ends.push(this);
  }

  /** The process ends and begins again: another pair, no session. */
  restart(): void {
    this.#pair = this.#keys.createExchange(this.#world.random.bytes(32));
    this.session = undefined;
  }

  say(): number {
    const number = this.#next++;
    this.#waiting.push(number);
    if (this.session === undefined) this.#begin();
    this.#world.flush();
    return number;
  }

  /** Another prefix under the same key, as after a repeated PILA. */
  newEpoch(): void {
    if (this.session === undefined) return;
    this.session.prefix = this.drawPrefix();
    this.session.counter = 0;
  }

  handle(bytes: Uint8Array): void {
    switch (readU32(bytes, 0)) {
      case MAGIC.PILA:
        this.#handlePila(bytes);
        break;
      case MAGIC.PILK:
        this.#out.push(this.#pila());
        break;
      default:
        this.#open(bytes);
    }
  }

  handleTimeout(): void {
    if (this.#world.now < this.#nextSendAt) return;
    if (this.#sends === SENDS) {
      this.#nextSendAt = Number.POSITIVE_INFINITY;
      return;
    }
    this.#out.push(this.#pila());
    if (this.#sends > 0 && this.#generation === 'newest') this.#out.push(emitPilk(this.id, this.#pair.publicKey));
    this.#sends += 1;
    this.#nextSendAt = this.#generation === 'april' ? Number.POSITIVE_INFINITY : this.#world.now + RETRY_MS;
  }

  pollTimeout(): number {
    return this.#nextSendAt;
  }

  drain(): Uint8Array[] {
    while (this.session !== undefined && this.#waiting.length > 0) {
      const payload = new Uint8Array(4);
      writeU32(payload, 0, this.#waiting.shift()!);
      this.#seal({ protocol: PROTOCOL.datagram, payload });
    }
    return this.#out.splice(0);
  }

  close(): void {
    this.session = undefined;
  }

  #begin(): void {
    this.#sends = 0;
    this.#nextSendAt = this.#world.now;
    this.handleTimeout();
  }

  #handlePila(bytes: Uint8Array): void {
    const { now } = this.#world;
    const { exchangeKey } = parseKeyExchange(bytes)!;
    const before = this.session;
    const isSame = before !== undefined && Buffer.compare(before.peerKey, exchangeKey) === 0;
    if (this.#generation === 'april' || !isSame) {
      const key = this.#keys.agree(this.#pair.exchange, exchangeKey, TUNNEL_INFO)!;
      const peerKey = exchangeKey.slice();
      this.session = { key, peerKey, createdAt: now, prefix: this.drawPrefix(), counter: 0, failures: 0 };
      this.installs += 1;
      this.#nextSendAt = Number.POSITIVE_INFINITY;
    }
    const isAsked = this.#generation === 'april' ? before === undefined : !isSame;
    const isOverdue = this.#generation === 'newest' && now - this.#openedAt > 6_000 && now - this.#repliedAt >= 1_000;
    if (!isAsked && !isOverdue) return;
    this.#repliedAt = now;
    this.#out.push(this.#pila());
  }

  #open(bytes: Uint8Array): void {
    const { session } = this;
    const plaintext = session === undefined ? undefined : openFrame(session.key, bytes);
    if (session === undefined || plaintext === undefined) {
      this.#refuse(session);
      return;
    }
    this.#openedAt = this.#world.now;
    session.failures = 0;
    const packet = parsePacket(plaintext) as Packet;
    if (packet.protocol === PROTOCOL.control && packet.flags === 0) {
      const { payload, sourcePort: destinationPort } = packet;
      this.#seal({ protocol: PROTOCOL.control, flags: FLAG.ACK, destinationPort, payload });
    } else if (packet.protocol === PROTOCOL.datagram) {
      this.received.add(readU32(packet.payload, 0));
      this.#seal({ protocol: PROTOCOL.control, flags: FLAG.ACK, payload: packet.payload });
    }
  }

  #refuse(session: Session | undefined): void {
    const { now } = this.#world;
    if (this.#generation === 'april') return;
    if (session !== undefined) {
      session.failures += 1;
      if (session.failures < 5 || now - session.createdAt < 3_000) return;
      this.session = undefined;
    }
    if (now - this.#recoveredAt < 3_000) return;
    this.#recoveredAt = now;
    this.#begin();
  }

  #pila(): Uint8Array {
    const { identity, publicKey: identityKey } = this.#identity;
    const exchangeKey = this.#pair.publicKey;
    const signature = this.#keys.sign(identity, signedExchange(this.id, exchangeKey));
    return emitPila({ sender: this.id, exchangeKey, identityKey, signature });
  }

  #seal(packet: Partial<Packet>): void {
    const { session } = this;
    if (session === undefined) return;
    session.counter += 1;
    const frame = { sender: this.id, prefix: session.prefix, counter: BigInt(session.counter) };
    const bytes = emitPacket({ ...packet, sourceNode: this.id, destinationNode: this.peerId });
    this.#out.push(sealFrame(session.key, frame, bytes));
  }
}
