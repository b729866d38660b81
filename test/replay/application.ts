/**
 * The application of a recorded peer, on our endpoint: carries out the calls of the plan, reads what arrives, and writes
 * on when there is room.
 */
import type { Millis } from '../../src/config.ts';
import type { ReceivedDatagram } from '../../src/core/datagrams.ts';
import type { Endpoint } from '../../src/core/endpoint.ts';
import type { ConnectionId, Event } from '../../src/core/events.ts';
import { EVENT } from '../../src/core/events.ts';
import type { Stream } from '../../src/core/streams.ts';
import { EPHEMERAL_FIRST, EPHEMERAL_LAST } from '../../src/wire/packet.ts';
import { type Conversation, nameOf } from './conversation.ts';
import type { Call, Plan } from './plan.ts';

/** What reached the application. */
export interface Received {
  /** Bytes read, by connection. */
  readonly bytes: Map<string, Uint8Array[]>;
  readonly datagrams: ReceivedDatagram[];
  /** Connections that were opened, and how each ended as far as it did. */
  readonly opened: Set<string>;
  readonly ends: Map<string, string>;
}

/** One connection of the plan. */
interface Work {
  stream: Stream | undefined;
  /** How many bytes it has read, and may read. */
  read: number;
  readUntil: number;
  wantsEnd: boolean;
  readonly writes: Uint8Array[];
}

/** From here on are ports that no recorded peer came to. */
const OTHER_PORTS = 57_344;

/** Acts for one life. */
export class Application {
  readonly received: Received = { bytes: new Map(), datagrams: [], opened: new Set(), ends: new Map() };
  readonly #plan: Plan;
  readonly #endpoint: Endpoint;
  readonly #works = new Map<string, Work>();
  readonly #names = new Map<ConnectionId, string>();
  #ticket = 1;

  constructor(plan: Plan, endpoint: Endpoint) {
    this.#plan = plan;
    this.#endpoint = endpoint;
    for (const { name } of plan.conversations) {
      this.#work(name);
    }
    for (const call of plan.calls) if (call.type === 'read') this.#work(call.conversation.name).readUntil = 0;
  }

  listen(): void {
    for (const port of this.#plan.listens) this.#endpoint.ports.listen(port);
    for (const port of this.#plan.takesDatagrams) this.#endpoint.ports.bindDatagrams(port);
    this.#place(this.#plan.life.from, 0, OTHER_PORTS);
  }

  call(now: Millis, call: Call): void {
    const endpoint = this.#endpoint;
    switch (call.type) {
      case 'dial':
        this.#dial(now, call.conversation);
        return;
      case 'write':
        this.#work(call.conversation.name).writes.push(call.bytes);
        this.#proceed(now, call.conversation.name);
        return;
      case 'end':
        this.#work(call.conversation.name).wantsEnd = true;
        this.#proceed(now, call.conversation.name);
        return;
      case 'read': {
        const work = this.#work(call.conversation.name);
        work.readUntil = Math.max(work.readUntil, call.until);
        this.#proceed(now, call.conversation.name);
        return;
      }
      case 'datagram': {
        const { peer, network, port, sourcePort, bytes } = call;
        this.#place(now, peer, sourcePort);
        endpoint.contacts.sendDatagram(now, peer, { network, port, sourcePort: 0 }, { bytes, ticket: this.#ticket++ });
        this.#place(now, peer, OTHER_PORTS);
        return;
      }
      case 'requestTrust':
        endpoint.contacts.trust.request(now, call.peer, call.justification);
        endpoint.contacts.trustChanged(now);
        return;
      case 'revokeTrust':
        endpoint.contacts.trust.revoke(now, call.peer);
        endpoint.contacts.trustChanged(now);
    }
  }

  handleEvent(now: Millis, event: Event): void {
    if (event.type === 'datagram') this.received.datagrams.push(event);
    else if (event.type === 'accepted') {
      const stream = this.#endpoint.contacts.stream(event.connection);
      if (stream === undefined) return;
      this.#take(stream);
      this.#proceed(now, nameOfStream(stream));
    } else if (event.type === 'connection') {
      const name = this.#names.get(event.connection);
      if (name === undefined) return;
      const { connection, failure } = this.#work(name).stream!;
      if ((event.bits & EVENT.closed) !== 0) this.received.ends.set(name, failure ?? connection.error ?? 'in order');
      this.#proceed(now, name);
    }
  }

  #work(name: string): Work {
    const known = this.#works.get(name);
    if (known !== undefined) return known;
    const readUntil = Number.POSITIVE_INFINITY;
    const made: Work = { stream: undefined, read: 0, readUntil, wantsEnd: false, writes: [] };
    this.#works.set(name, made);
    return made;
  }

  #take(stream: Stream): void {
    const name = nameOfStream(stream);
    this.#names.set(stream.id, name);
    this.#work(name).stream = stream;
    this.received.opened.add(name);
    this.received.bytes.set(name, []);
  }

  #dial(now: Millis, { peer, network, localPort, peerPort, name }: Conversation): void {
    this.#place(now, peer, localPort);
    const id = this.#endpoint.contacts.dial(now, peer, { network, port: peerPort });
    this.#place(now, peer, OTHER_PORTS);
    const stream = typeof id === 'number' ? this.#endpoint.contacts.stream(id) : undefined;
    if (stream === undefined || nameOfStream(stream) !== name) throw new Error(`Cannot dial ${name}: got ${id}`);
    this.#take(stream);
  }

  /** Where ours dials more than was recorded: moves the counter of ephemeral ports, lest those dials take recorded ones. */
  #place(now: Millis, peer: number, port: number): void {
    if (!this.#plan.dialsMore) return;
    // Behind the last port in front of it that can be drawn: one that rests cannot.
    for (let before = portBefore(port); before !== port; before = portBefore(before)) {
      if (this.#endpoint.ports.ephemeral(now, peer, (candidate) => candidate !== before) !== undefined) return;
    }
  }

  /** Reads, writes and ends as far as it goes now. */
  #proceed(now: Millis, name: string): void {
    const work = this.#work(name);
    const { stream } = work;
    if (stream === undefined) return;
    const { connection } = stream;
    while (connection.readableBytes > 0 && work.read < work.readUntil) {
      const chunk = new Uint8Array(Math.min(connection.readableBytes, work.readUntil - work.read));
      work.read += connection.read(chunk);
      this.received.bytes.get(name)!.push(chunk);
    }
    for (let bytes = work.writes[0]; bytes !== undefined; bytes = work.writes[0]) {
      const taken = connection.write(bytes);
      if (taken < bytes.length) {
        work.writes[0] = bytes.subarray(taken);
        break;
      }
      work.writes.shift();
    }
    if ((work.wantsEnd || connection.isReadEnded) && work.writes.length === 0) {
      work.wantsEnd = false;
      connection.close(now);
    }
    this.#endpoint.contacts.touch(now, stream);
  }
}

function nameOfStream({ peer, network, localPort, peerPort }: Stream): string {
  return nameOf({ peer: peer.id, network, localPort, peerPort });
}

function portBefore(port: number): number {
  return port === EPHEMERAL_FIRST ? EPHEMERAL_LAST : port - 1;
}
