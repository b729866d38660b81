/**
 * UDP by the addon. What is sent waits for `flush` and leaves in one call; the kernel has copied it then, and tokens go back at
 * once. What came in one call is told in one go and ends with `turn`. All sockets of a host receive into one ring.
 */
import type { HostPort, UdpHandler, UdpOptions, UdpSocket } from '../../src/carrier/host.ts';
import type { Addon, Poller, SendBuffers } from './addon.ts';
import { type BindUdp, bindError, bindFamilies, Destinations, datagramBytes, reduceMapped } from './addresses.ts';

/** Messages in the ring, as many as one call of the system takes (addon/socket.h). */
const MESSAGES = 64;
/** Words of a message. */
const MESSAGE = { at: 0, length: 1, segment: 2, port: 3, scope: 4, address: 5 } as const;
/** Words of a datagram to send. The highest bit of `at`: it lies in the socket's own buffer. */
const SEND = { at: 0, length: 1, port: 2, scope: 3, address: 4, error: 8 } as const;
const OWN = 0x8000_0000;
/** Datagrams that wait while the kernel has no room; more are dropped, as it would. */
const WAITING = 1024;
/** For datagrams that are copied. */
const OWN_BYTES = 256 * 1024;
const MOST_BYTES = 65_507;
/** Senders remembered, direct-mapped by port; a power of two. */
const SENDERS = 1024;
const DESTINATIONS = 4096;
const NOBODY = -1;

/** Makes what binds sockets for one host. @param thread - Whether the event loop is not libuv's. */
export function createBindUdp(addon: Addon, thread: boolean): BindUdp {
  let sockets: Sockets | undefined;
  return (options, { unref }) => {
    sockets ??= new Sockets(addon, thread);
    const { bind } = sockets;
    return bindFamilies(options, async (target) => bind(options, target, unref));
  };
}

/** The sockets of one host. */
class Sockets {
  readonly #addon: Addon;
  readonly #poller: Poller;
  readonly #messages: Uint32Array;
  readonly #slots: readonly Slot[];
  readonly #sockets = new Map<number, AddonSocket>();

  constructor(addon: Addon, thread: boolean) {
    const { messageWords, slotBytes } = addon.Poller;
    // Pages that no long message reached cost nothing.
    const ring = new Uint8Array(MESSAGES * slotBytes);
    this.#addon = addon;
    this.#messages = new Uint32Array(MESSAGES * messageWords);
    this.#slots = Array.from({ length: MESSAGES }, (_, i) => new Slot(ring, i * slotBytes));
    this.#poller = new addon.Poller({
      thread,
      ring,
      messages: this.#messages,
      received: (id, count) => this.#receive(id, count),
      writable: (id) => this.#sockets.get(id)?.handleWritable(),
    });
  }

  readonly bind = (options: UdpOptions, target: { host: string; port: number; isIPv6: boolean }, unref: boolean) => {
    const { host, port, isIPv6 } = target;
    let id: number;
    try {
      id = this.#poller.bind(host, port, isIPv6, true);
    } catch (error) {
      throw bindError(`UDP ${host} port ${port}`, error);
    }
    if (unref) this.#poller.keep(id, false);
    const closed = (): void => {
      this.#sockets.delete(id);
    };
    const socket = new AddonSocket({ addon: this.#addon, poller: this.#poller, id, isIPv6, closed }, options.handler);
    this.#sockets.set(id, socket);
    return socket;
  };

  #receive(id: number, count: number): void {
    const socket = this.#sockets.get(id);
    const { messageWords } = this.#addon.Poller;
    for (let i = 0; i < count && socket?.isClosed === false; i++) {
      const at = i * messageWords;
      const length = this.#messages[at + MESSAGE.length]!;
      const segment = this.#messages[at + MESSAGE.segment]!;
      const from = socket.senders.get(this.#messages, at, i);
      const slot = this.#slots[i]!;
      // An empty datagram is one, too.
      let start = 0;
      do {
        socket.handler.datagram(slot.view(start, Math.min(segment, length - start), segment), from);
        start += segment;
      } while (start < length && !socket.isClosed);
    }
    if (socket?.isClosed === false) socket.handler.turn?.();
  }
}

/** One message's place in the ring, and views of its datagrams: those of a stream have the same places again and again. */
class Slot {
  readonly #ring: Uint8Array;
  readonly #at: number;
  #segment = 0;
  #views: Uint8Array[] = [];

  constructor(ring: Uint8Array, at: number) {
    this.#ring = ring;
    this.#at = at;
  }

  view(start: number, length: number, segment: number): Uint8Array {
    if (length !== segment || length === 0) return this.#make(start, length);
    if (segment !== this.#segment) {
      this.#segment = segment;
      this.#views = [];
    }
    const index = start / segment;
    return (this.#views[index] ??= this.#make(start, length));
  }

  #make(start: number, length: number): Uint8Array {
    return this.#ring.subarray(this.#at + start, this.#at + start + length);
  }
}

/** What a socket needs of its neighbours. */
interface Parts {
  readonly addon: Addon;
  readonly poller: Poller;
  readonly id: number;
  readonly isIPv6: boolean;
  readonly closed: () => void;
}

class AddonSocket implements UdpSocket {
  readonly local: HostPort;
  readonly tellsTurns = true;
  readonly handler: UdpHandler;
  readonly senders: Senders;
  readonly #parts: Parts;
  readonly #places: Places;
  readonly #words: number;
  readonly #datagrams: Uint32Array;
  readonly #tokens = new Int32Array(WAITING);
  readonly #to: (HostPort | undefined)[] = new Array(WAITING).fill(undefined);
  #own: Uint8Array = NOTHING;
  #ownUsed = 0;
  /** All of the buffer that lent datagrams lie in: the engine's memory. */
  #lent: Uint8Array = NOTHING;
  /** Datagrams in line: those from `first` to `end` − 1. */
  #first = 0;
  #end = 0;
  #isBlocked = false;
  #isFlushing = false;
  #isLeaving = false;
  isClosed = false;

  constructor(parts: Parts, handler: UdpHandler) {
    const { addon, poller, id, isIPv6 } = parts;
    const { address, port } = poller.describe(id);
    this.local = { host: reduceMapped(address), port };
    this.handler = handler;
    this.senders = new Senders(poller, isIPv6);
    this.#parts = parts;
    this.#places = new Places(addon, isIPv6);
    this.#words = addon.Poller.sendWords;
    this.#datagrams = new Uint32Array(WAITING * this.#words);
  }

  send(bytes: Uint8Array, to: HostPort, token: number): void {
    const place = this.isClosed || bytes.length > MOST_BYTES ? undefined : this.#places.get(to);
    if (place === undefined) {
      this.#finish(token, this.isClosed ? undefined : to);
      return;
    }
    if (this.#end === WAITING) this.flush();
    let at = this.#end === WAITING ? NOBODY : this.#placeOf(bytes, token);
    if (at === NOBODY && this.#end > 0 && this.#end < WAITING) {
      this.flush();
      at = this.#placeOf(bytes, token);
    }
    if (at === NOBODY) {
      // The kernel has had no room for long: as if it had dropped it.
      if (token >= 0) this.handler.released(token);
      return;
    }
    const word = this.#end * this.#words;
    const datagrams = this.#datagrams;
    datagrams[word + SEND.at] = at;
    datagrams[word + SEND.length] = bytes.length;
    datagrams[word + SEND.port] = to.port;
    for (let i = 0; i < place.length; i++) datagrams[word + SEND.scope + i] = place[i]!;
    datagrams[word + SEND.error] = 0;
    this.#tokens[this.#end] = token;
    this.#to[this.#end] = to;
    this.#end += 1;
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    queueMicrotask(this.#leave);
  }

  flush(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    while (this.#first < this.#end && !this.#isBlocked && !this.isClosed) this.#sendLine();
    this.#isFlushing = false;
  }

  /** The kernel has room again. */
  handleWritable(): void {
    this.#isBlocked = false;
    this.flush();
  }

  datagramBytes(host: string): number {
    return datagramBytes(host);
  }

  unref(): void {
    if (!this.isClosed) this.#parts.poller.keep(this.#parts.id, false);
  }

  close(): void {
    if (this.isClosed) return;
    this.flush();
    this.isClosed = true;
    this.#parts.poller.close(this.#parts.id);
    this.#parts.closed();
    for (; this.#first < this.#end; this.#first++) this.#finish(this.#tokens[this.#first]!, undefined);
  }

  readonly #leave = (): void => {
    this.#isLeaving = false;
    this.flush();
  };

  #sendLine(): void {
    const [first, count] = [this.#first, this.#end - this.#first];
    const buffers: SendBuffers = { lent: this.#lent, own: this.#own, datagrams: this.#datagrams };
    const done = this.#parts.poller.send(this.#parts.id, buffers, first, count);
    this.#isBlocked = done < count;
    this.#first = first + done;
    // Who hears of it may send, which goes to the end of the line, or close.
    for (let i = first; i < first + done; i++) {
      const hasFailed = this.#datagrams[i * this.#words + SEND.error] !== 0;
      this.#finish(this.#tokens[i]!, hasFailed ? this.#to[i] : undefined);
    }
    this.#moveUp();
  }

  /** What waits goes to the front. */
  #moveUp(): void {
    const count = this.#end - this.#first;
    if (count > 0) {
      this.#datagrams.copyWithin(0, this.#first * this.#words, this.#end * this.#words);
      this.#tokens.copyWithin(0, this.#first, this.#end);
      this.#to.copyWithin(0, this.#first, this.#end);
    } else {
      this.#ownUsed = 0;
    }
    this.#first = 0;
    this.#end = count;
  }

  /** Where bytes lie, for the addon: lent ones in the buffer that the others are in, or else in ours. NOBODY: no room. */
  #placeOf(bytes: Uint8Array, token: number): number {
    if (token >= 0) {
      if (this.#end === 0 && this.#lent.buffer !== bytes.buffer) this.#lent = new Uint8Array(bytes.buffer);
      if (this.#lent.buffer === bytes.buffer && bytes.byteOffset < OWN) return bytes.byteOffset;
    }
    if (this.#own.length === 0) this.#own = new Uint8Array(OWN_BYTES);
    if (this.#ownUsed + bytes.length > OWN_BYTES) return NOBODY;
    const at = this.#ownUsed;
    this.#own.set(bytes, at);
    this.#ownUsed += bytes.length;
    return at + OWN;
  }

  #finish(token: number, lost: HostPort | undefined): void {
    if (lost !== undefined && !this.isClosed) this.handler.unreachable(lost);
    if (token >= 0) this.handler.released(token);
  }
}

const NOTHING = new Uint8Array(0);

/** Destinations as the addon takes them. */
class Places {
  readonly #addon: Addon;
  readonly #isIPv6: boolean;
  readonly #destinations: Destinations;
  readonly #known = new Map<string, readonly number[] | undefined>();
  #lastHost = '';
  #last: readonly number[] | undefined;

  constructor(addon: Addon, isIPv6: boolean) {
    this.#addon = addon;
    this.#isIPv6 = isIPv6;
    this.#destinations = new Destinations(isIPv6);
  }

  /** Scope and words of the address; undefined when this socket cannot reach it. */
  get(to: HostPort): readonly number[] | undefined {
    // Checks the port, too.
    const address = this.#destinations.address(to);
    if (address === undefined) return undefined;
    if (address === this.#lastHost) return this.#last;
    if (!this.#known.has(address)) {
      if (this.#known.size >= DESTINATIONS) this.#known.clear();
      this.#known.set(address, this.#addon.Poller.parse(address, this.#isIPv6));
    }
    this.#lastHost = address;
    this.#last = this.#known.get(address);
    return this.#last;
  }
}

/** The senders that a socket heard last, so that a datagram makes no object. */
class Senders {
  readonly #poller: Poller;
  readonly #isIPv6: boolean;
  readonly #known: ({ words: readonly number[]; from: HostPort } | undefined)[] = new Array(SENDERS).fill(undefined);

  constructor(poller: Poller, isIPv6: boolean) {
    this.#poller = poller;
    this.#isIPv6 = isIPv6;
  }

  /** The same object as long as nobody else with such a port took its place. */
  get(messages: Uint32Array, at: number, message: number): HostPort {
    const port = messages[at + MESSAGE.port]!;
    const known = this.#known[port & (SENDERS - 1)];
    if (known !== undefined && isSame(known.words, messages, at + MESSAGE.port)) return known.from;
    const words = Array.from(messages.subarray(at + MESSAGE.port, at + MESSAGE.address + 4));
    const from = { host: reduceMapped(this.#poller.sender(message, this.#isIPv6)), port };
    this.#known[port & (SENDERS - 1)] = { words, from };
    return from;
  }
}

function isSame(words: readonly number[], messages: Uint32Array, at: number): boolean {
  for (let i = 0; i < words.length; i++) if (words[i] !== messages[at + i]) return false;
  return true;
}
