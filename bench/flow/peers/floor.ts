/**
 * What plain I/O and cryptography cost: connected sockets of node:dgram and the engine, frames sealed and opened in batches,
 * and no protocol. Nothing is acknowledged or repeated, nobody slows down; what the receiver cannot take is lost.
 */
import { createHash, getRandomValues, randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { createEngine } from '../../../bindings/node/engine.ts';
import { BATCH, OVERHEAD, PAYLOAD_OFFSET, RECORD_WORDS, RX, STATUS, TX } from '../../../src/engine/engine.ts';
import type { Channel, Contestant } from '../channel.ts';

const BUFFER_BYTES = 4 << 20;
/** IPv4 and UDP headers in 1 500 bytes; on loopback half of what bulk comes in. */
const SEGMENT = { net: 1_500 - 28 - OVERHEAD, lo: 32_768 };
const STREAM = 0x201;
const HELLO = 8;
const CLIENT = { nodeId: 1, prefix: 0x1111_1111 };
const SERVER = { nodeId: 2, prefix: 0x2222_2222 };

type End = typeof CLIENT;

/** Makes it. */
export function floor(): Contestant {
  const engine = createEngine((into) => void getRandomValues(into as Uint8Array<ArrayBuffer>));
  let owners = 0;
  const channelOver = (socket: Socket, hello: Buffer, sides: { own: End; other: End; segment: number }): Channel => {
    const { own, other, segment } = sides;
    const owner = owners++;
    const key = createHash('sha256').update(hello).digest();
    const session = engine.install({ owner, localId: own.nodeId, peerId: other.nodeId, key, prefix: own.prefix });
    const sender = new FrameSender(engine, socket, { session, segment, own, other });
    const receiver = new FrameReceiver(engine, owner);
    const channel: Channel = {
      isLossy: true,
      send: (bytes) => sender.send(bytes),
      onData: () => {},
      close: () => socket.close(),
    };
    socket.on('message', (bytes) => {
      // The answer to the first datagram, which may have come twice.
      if (bytes.length !== HELLO) receiver.take(bytes, channel);
    });
    return channel;
  };
  return {
    serve: async ({ host, isLoopback }, accept) => {
      const front = await bound(host);
      front.on('message', async (hello, from) => {
        const socket = await bound(host);
        await new Promise<void>((resolve) => socket.connect(from.port, from.address, resolve));
        const segment = SEGMENT[isLoopback ? 'lo' : 'net'];
        accept(channelOver(socket, hello, { own: SERVER, other: CLIENT, segment }));
        socket.send(hello);
      });
      return { address: front.address().port, facts: engine.name };
    },
    connect: async ({ host, isLoopback }, address) => ({
      open: async () => {
        const socket = await bound(isLoopback ? host : '0.0.0.0');
        const hello = randomBytes(HELLO);
        const port = new Promise<number>((resolve) => socket.once('message', (_, from) => resolve(from.port)));
        socket.send(hello, Number(address), host);
        const answered = await port;
        await new Promise<void>((resolve) => socket.connect(answered, host, resolve));
        return channelOver(socket, hello, { own: CLIENT, other: SERVER, segment: SEGMENT[isLoopback ? 'lo' : 'net'] });
      },
    }),
  };
}

function bound(host: string): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.bind(0, host, () => {
      socket.setRecvBufferSize(BUFFER_BYTES);
      socket.setSendBufferSize(BUFFER_BYTES);
      resolve(socket);
    });
    socket.on('error', () => {});
  });
}

type Engine = ReturnType<typeof createEngine>;

/** Seals what was sent in a turn, and sends it. */
class FrameSender {
  readonly #engine: Engine;
  readonly #socket: Socket;
  readonly #segment: number;
  readonly #fields: Uint32Array;
  /** Callback of each slot, made once. */
  readonly #returned = new Map<number, () => void>();
  #waiting = 0;
  #room: { resolve: () => void; promise: Promise<void> } | undefined;

  constructor(
    engine: Engine,
    socket: Socket,
    { session, segment, own, other }: { session: number; segment: number; own: End; other: End },
  ) {
    this.#engine = engine;
    this.#socket = socket;
    this.#segment = segment;
    this.#fields = new Uint32Array(RECORD_WORDS);
    this.#fields[TX.session] = session;
    this.#fields[TX.kind] = STREAM;
    this.#fields[TX.sourceNode] = own.nodeId;
    this.#fields[TX.destinationNode] = other.nodeId;
  }

  send(bytes: Buffer): Promise<void> | undefined {
    for (let at = 0; at < bytes.length; at += this.#segment) {
      const segment = bytes.length <= this.#segment ? bytes : bytes.subarray(at, at + this.#segment);
      if (!this.#stage(segment)) return this.#whenFree().then(() => this.send(bytes.subarray(at)));
    }
    return this.#waiting === 0 ? this.#whenFree() : undefined;
  }

  #stage(segment: Uint8Array): boolean {
    const { transmit, memory } = this.#engine;
    const framePtr = this.#engine.claimTransmit(segment.length);
    if (framePtr === 0) return false;
    memory.set(segment, framePtr + PAYLOAD_OFFSET);
    // Other channels of this process may not stage in between: a batch is of one turn, and flushed by the one who began it.
    const record = this.#waiting * RECORD_WORDS;
    transmit.set(this.#fields, record);
    transmit[record + TX.framePtr] = framePtr;
    transmit[record + TX.payloadLen] = segment.length;
    this.#waiting++;
    if (this.#waiting === 1) queueMicrotask(() => this.#flush());
    if (this.#waiting === BATCH) this.#flush();
    return true;
  }

  #flush(): void {
    const { transmit, memory } = this.#engine;
    const count = this.#waiting;
    if (count === 0) return;
    this.#waiting = 0;
    this.#engine.seal(count);
    for (let at = 0; at < count * RECORD_WORDS; at += RECORD_WORDS) {
      if (transmit[at + TX.status] !== STATUS.OK) throw new Error(`seal answered ${transmit[at + TX.status]}`);
      const framePtr = transmit[at + TX.framePtr]!;
      const frame = memory.subarray(framePtr, framePtr + transmit[at + TX.frameLen]!);
      this.#socket.send(frame, this.#callback(framePtr));
    }
  }

  #callback(framePtr: number): () => void {
    let callback = this.#returned.get(framePtr);
    if (callback === undefined) {
      callback = () => {
        this.#engine.releaseTransmit(framePtr);
        this.#room?.resolve();
        this.#room = undefined;
      };
      this.#returned.set(framePtr, callback);
    }
    return callback;
  }

  /** A slot comes back with the turn of the event loop after the one in which it was sent. */
  #whenFree(): Promise<void> {
    if (this.#room === undefined) {
      const { promise, resolve } = withResolver();
      this.#room = { promise, resolve };
    }
    return this.#room.promise;
  }
}

function withResolver(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((resolver) => {
    resolve = resolver;
  });
  return { promise, resolve };
}

/** Opens what arrived in a turn. */
class FrameReceiver {
  readonly #engine: Engine;
  readonly #owner: number;
  readonly #slots: number[] = [];
  readonly #lengths: number[] = [];
  #channel: Channel | undefined;

  constructor(engine: Engine, owner: number) {
    this.#engine = engine;
    this.#owner = owner;
  }

  take(bytes: Uint8Array, channel: Channel): void {
    this.#channel = channel;
    let slot = this.#engine.claimReceive(bytes.length);
    if (slot === 0) {
      this.#open();
      slot = this.#engine.claimReceive(bytes.length);
    }
    this.#engine.memory.set(bytes, slot);
    this.#slots.push(slot);
    this.#lengths.push(bytes.length);
    if (this.#slots.length === 1) setImmediate(this.#open);
    if (this.#slots.length === BATCH) this.#open();
  }

  readonly #open = (): void => {
    const { receive, memory } = this.#engine;
    const count = this.#slots.length;
    if (count === 0) return;
    for (let i = 0; i < count; i++) {
      receive[i * RECORD_WORDS + RX.framePtr] = this.#slots[i]!;
      receive[i * RECORD_WORDS + RX.frameLen] = this.#lengths[i]!;
    }
    this.#engine.open(this.#owner, count);
    for (let i = 0; i < count; i++) {
      const record = i * RECORD_WORDS;
      if (receive[record + RX.status] !== STATUS.OK) throw new Error(`open answered ${receive[record + RX.status]}`);
      const ptr = receive[record + RX.payloadPtr]!;
      this.#channel!.onData(memory.subarray(ptr, ptr + receive[record + RX.payloadLen]!));
      this.#engine.releaseReceive(this.#slots[i]!);
    }
    this.#slots.length = 0;
    this.#lengths.length = 0;
  };
}
