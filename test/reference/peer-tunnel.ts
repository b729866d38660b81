/**
 * Frames in and out: demultiplexing, sessions, paths and the beacon (DP 3.1–3.3, 3.12–3.14, 4.1–4.9). Hands packets up
 * that are decrypted and as honest as the generation checks.
 */
import { BEACON, DELIVERY_BYTES, emitPunchRequest, RELAY_BYTES, writeRelayHeader } from '../../src/wire/beacon.ts';
import { isPrivateHost, isUnroutableTarget } from '../../src/wire/host-port.ts';
import { MAGIC, PORT, PROTOCOL } from '../../src/wire/packet.ts';
import type { Random } from './hostile.ts';
import { emitPacket, type Packet, parsePacket } from './packet.ts';
import type { Behaviour } from './peer-behaviour.ts';
import { Contact } from './peer-contact.ts';
import { KeyExchanges, type PeerSelf } from './peer-exchange.ts';
import { type LoggedFrame, logged, type PeerLog, type Place } from './peer-log.ts';
import { readFrame } from './peer-session.ts';
import type { PeerTransport } from './peer-socket.ts';

/** `PILP` and nothing else (DP 3.7). */
export const PUNCH: Uint8Array = Uint8Array.of(0x50, 0x49, 0x4c, 0x50);
const PUNCHES = 3;
const PENDING = 64;

/** What the registry says of a node that shall be reached. */
export interface Resolved {
  readonly endpoint: Place | undefined;
  /** Hides its endpoint: relay only. */
  readonly relayOnly: boolean;
}

/** What the tunnel needs of the rest. */
export interface TunnelSetup {
  readonly self: PeerSelf;
  readonly behaviour: Behaviour;
  readonly transport: PeerTransport;
  readonly random: Random;
  readonly log: PeerLog;
  readonly beacon: Place | undefined;
  readonly lookup: (nodeId: number, answer: (key: Uint8Array | undefined) => void) => void;
  readonly resolve: (nodeId: number, answer: (found: Resolved | undefined) => void) => void;
  readonly isTrusted: (nodeId: number) => boolean;
  /** A packet for the dispatcher (DP 5.1). */
  readonly packet: (contact: Contact, packet: Packet) => void;
  /** A message of the beacon to this node: Discover reply or notification. */
  readonly beaconSaid: (frame: LoggedFrame) => void;
  /** A frame authenticated or a session was made: the upkeep may have work. */
  readonly touched: (contact: Contact) => void;
}

/** All traffic of one peer. */
export class PeerTunnel {
  readonly contacts: Map<number, Contact> = new Map();
  readonly exchanges: KeyExchanges;
  readonly #setup: TunnelSetup;

  constructor(setup: TunnelSetup) {
    this.#setup = setup;
    this.exchanges = new KeyExchanges({
      self: setup.self,
      behaviour: setup.behaviour,
      transport: setup.transport,
      random: setup.random,
      hasRelay: () => setup.beacon !== undefined,
      sendFrame: (contact, frame, way) => this.sendFrame(contact, frame, way),
      sendPlaintext: (contact, packet) => this.#sealed(contact, packet),
      lookup: setup.lookup,
      isTrusted: setup.isTrusted,
      learnPath: (contact, from, relayed) => this.#learnPath(contact, from, relayed),
    });
  }

  contact(nodeId: number): Contact {
    let contact = this.contacts.get(nodeId);
    if (contact === undefined) {
      contact = new Contact(nodeId);
      this.contacts.set(nodeId, contact);
    }
    return contact;
  }

  /**
   * Sends a packet, or queues it and begins a key exchange. The source is this node unless the fields say otherwise.
   *
   * @param way - Against the contact's path, for probes and racing copies.
   * @returns False when it was refused.
   */
  send(nodeId: number, fields: Partial<Packet>, way?: 'direct' | 'relay'): boolean {
    const { self, behaviour, transport } = this.#setup;
    const bytes = emitPacket({ sourceNode: self.nodeId, destinationNode: nodeId, ...fields });
    const contact = this.contact(nodeId);
    if (fields.protocol !== PROTOCOL.control) contact.lastTrafficAt = transport.now();
    if (contact.session !== undefined) {
      this.#sealed(contact, bytes, way);
      return true;
    }
    if (behaviour.pendingFull === 'refuse') {
      if (this.exchanges.isCoolingDown(contact) || contact.pending.length >= PENDING) return false;
    } else if (contact.pending.length >= PENDING) {
      contact.pending.shift();
    }
    contact.pending.push(bytes);
    this.reach(contact);
    return true;
  }

  /** First contact (DP 4.9): resolve, ask for punches, exchange keys. */
  reach(contact: Contact): void {
    const { behaviour, resolve } = this.#setup;
    if (contact.isAdded) {
      this.exchanges.begin(contact);
      return;
    }
    const added = (): void => {
      contact.isAdded = true;
      if (!contact.isPinned) this.requestPunch(contact);
      // DP app. D 7: one PILA for the contact, one for the packet that waits.
      if (!behaviour.retransmitsExchange) this.exchanges.sendPila(contact);
      this.exchanges.begin(contact);
    };
    if (contact.endpoint !== undefined || contact.isRelayed) {
      added();
      return;
    }
    resolve(contact.nodeId, (found) => {
      if (found === undefined || contact.isAdded) return;
      contact.endpoint ??= found.endpoint;
      if (found.relayOnly) contact.isRelayed = contact.isPinned = true;
      added();
    });
  }

  /** Asks the beacon to have both sides punch. */
  requestPunch(contact: Contact): void {
    const { beacon, self } = this.#setup;
    if (beacon !== undefined) this.sendDatagram(emitPunchRequest(self.nodeId, contact.nodeId), beacon);
  }

  /** Sends a frame along the contact's path. @returns What was logged; undefined without a path: the frame is lost. */
  sendFrame(contact: Contact, frame: Uint8Array, way?: 'direct' | 'relay'): LoggedFrame | undefined {
    const { self, beacon, transport, log } = this.#setup;
    const isDirect = way === undefined ? !contact.isRelayed && contact.endpoint !== undefined : way === 'direct';
    contact.lastSendAt = transport.now();
    if (isDirect && contact.endpoint !== undefined) {
      const isLost = way === undefined && beacon !== undefined && contact.observeDirectSend(transport.now());
      if (!isLost) return this.sendDatagram(frame, contact.endpoint);
    }
    if (beacon === undefined || way === 'direct') {
      log.count('no_path');
      return undefined;
    }
    const relay = new Uint8Array(RELAY_BYTES + frame.length);
    writeRelayHeader(relay, 0, self.nodeId, contact.nodeId);
    relay.set(frame, RELAY_BYTES);
    const entry = logged(frame, transport.now(), beacon, contact.nodeId);
    log.sent.push(entry);
    transport.send(relay, beacon);
    return entry;
  }

  /** Sends any bytes anywhere. */
  sendDatagram(bytes: Uint8Array, to: Place): LoggedFrame {
    const { transport, log } = this.#setup;
    const entry = logged(bytes, transport.now(), to);
    log.sent.push(entry);
    transport.send(bytes, to);
    return entry;
  }

  /** A datagram off the socket. The bytes are kept. */
  handle(bytes: Uint8Array, from: Place): void {
    const { log, transport } = this.#setup;
    const frame = logged(bytes, transport.now(), from);
    log.received.push(frame);
    if (frame.kind === 'beacon') this.#handleBeacon(frame);
    else this.#handleFrame(frame);
  }

  /** Forgets all keys and paths. */
  reset(): void {
    for (const contact of this.contacts.values()) contact.reset();
  }

  #handleFrame(frame: LoggedFrame): void {
    switch (frame.kind) {
      case 'PILS':
        this.#handleSealed(frame);
        return;
      case 'PILA':
      case 'PILK':
        if (frame.exchange === undefined) frame.outcome = 'malformed';
        else this.exchanges.handle(frame, this.contact(frame.exchange.sender));
        return;
      case 'PILT':
        this.#handlePlain(frame);
        return;
      default:
        frame.outcome = 'dropped';
    }
  }

  #handleSealed(frame: LoggedFrame): void {
    const { transport } = this.#setup;
    const now = transport.now();
    const clear = readFrame(frame.bytes);
    if (clear === undefined) {
      frame.outcome = 'malformed';
      return;
    }
    const known = this.contacts.get(clear.sender);
    if (known?.session === undefined) {
      frame.outcome = 'no_session';
      if (!this.#setup.behaviour.silentAfterRestart) this.#recover(this.contact(clear.sender), frame);
      return;
    }
    const opened = known.session.open(frame.bytes, now);
    frame.outcome = opened.status;
    if (opened.status !== 'ok') {
      if (opened.isLost && this.#setup.behaviour.dropsFailingSession) {
        known.session = undefined;
        this.#recover(known, frame);
      }
      return;
    }
    this.#handlePlaintext(known, frame, opened.plaintext);
  }

  /** DP 3.12: asks for a key where the frame came from, if nothing better is known. */
  #recover(contact: Contact, frame: LoggedFrame): void {
    if (frame.relayed !== undefined && contact.endpoint === undefined) contact.isRelayed = contact.isPinned = true;
    else if (frame.relayed === undefined) contact.endpoint ??= frame.place;
    contact.isAdded = true;
    this.exchanges.recover(contact);
  }

  /** DP 3.13. */
  #handlePlaintext(contact: Contact, frame: LoggedFrame, plaintext: Uint8Array): void {
    const { behaviour, transport, touched } = this.#setup;
    const now = transport.now();
    const packet = parsePacket(plaintext);
    if (typeof packet === 'string') {
      frame.outcome = packet;
      return;
    }
    const isKeepalive =
      packet.protocol === PROTOCOL.control && packet.destinationPort === PORT.ping && packet.payload.length === 0;
    const isAnonymous = isKeepalive && packet.sourceNode === 0;
    if (behaviour.checksInnerSource && packet.sourceNode !== contact.nodeId && !isAnonymous) {
      frame.outcome = 'spoofed';
      return;
    }
    frame.packet = packet;
    contact.lastOpenedAt = now;
    if (frame.relayed === undefined) contact.receivedDirectly(now, frame.place, behaviour.relaySticky);
    else this.#receivedRelayed(contact);
    if (packet.protocol !== PROTOCOL.control) contact.lastTrafficAt = now;
    touched(contact);
    if (isKeepalive && behaviour.swallowsKeepalives) frame.outcome = 'keepalive';
    else this.#setup.packet(contact, packet);
  }

  /** DP 3.2, 4.9: APR and FORK take the relay as soon as something comes that way, NEW only without a direct endpoint. */
  #receivedRelayed(contact: Contact): void {
    if (this.#setup.behaviour.relaySticky || contact.endpoint === undefined) contact.isRelayed = true;
    if (!this.#setup.behaviour.relaySticky) contact.receivedRelayed();
  }

  /** Where a key came from. NEW stays on the relay when it came by that way only (DP 4.10). */
  #learnPath(contact: Contact, from: Place, relayed: number | undefined): void {
    contact.isAdded = true;
    if (relayed === undefined) {
      contact.endpoint = from;
      contact.hasDirect = true;
      if (contact.isRelayedByKey && !contact.isPinned) contact.isRelayed = false;
      contact.isRelayedByKey = false;
    } else if (!contact.hasDirect && !contact.isRelayed) {
      contact.isRelayed = true;
      contact.isRelayedByKey = true;
    } else {
      this.#receivedRelayed(contact);
    }
    this.#setup.touched(contact);
  }

  #handlePlain(frame: LoggedFrame): void {
    const packet = parsePacket(frame.bytes.subarray(4));
    if (typeof packet === 'string') frame.outcome = packet;
    else if (!this.#setup.behaviour.acceptsPlaintext) frame.outcome = 'plaintext';
    else {
      frame.packet = packet;
      this.#setup.packet(this.contact(packet.sourceNode), packet);
    }
  }

  #sealed(contact: Contact, packet: Uint8Array, way?: 'direct' | 'relay'): void {
    const { self, behaviour, transport } = this.#setup;
    const { session } = contact;
    if (session === undefined) return;
    contact.remember(transport.now(), packet, behaviour.salvage);
    const entry = this.sendFrame(contact, session.seal(self.nodeId, packet), way);
    const parsed = parsePacket(packet);
    if (entry !== undefined && typeof parsed !== 'string') entry.packet = parsed;
  }

  #handleBeacon(frame: LoggedFrame): void {
    const { behaviour, beacon, log, transport } = this.#setup;
    const message = frame.beacon;
    const isFromBeacon = beacon !== undefined && beacon.host === frame.place.host && beacon.port === frame.place.port;
    if (message === undefined) {
      frame.outcome = 'malformed';
    } else if (behaviour.beaconOnly && !isFromBeacon && message.type !== 'discoverReply') {
      frame.outcome = 'not_the_beacon';
    } else if (message.type === 'punchCommand') {
      this.#punch({ host: message.host, port: message.port });
    } else if (message.type === 'delivery' && frame.bytes[0] === BEACON.delivery) {
      const inner = logged(frame.bytes.subarray(DELIVERY_BYTES), transport.now(), frame.place, message.sender);
      log.received.push(inner);
      // DP 3.1: punches and messages of the beacon mean nothing inside, and are dropped there.
      this.#handleFrame(inner);
    } else if (message.type === 'discoverReply' || message.type === 'notify') {
      this.#setup.beaconSaid(frame);
    } else {
      frame.outcome = 'dropped';
    }
  }

  #punch(to: Place): void {
    const { punchesPrivate } = this.#setup.behaviour;
    if (!punchesPrivate && (isUnroutableTarget(to.host) || isPrivateHost(to.host))) return;
    for (let i = 0; i < PUNCHES; i++) this.sendDatagram(PUNCH, to);
  }
}

/** A frame that is not sealed: PILT (DP 3.3). For tests that inject. */
export function plainFrame(packet: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + packet.length);
  new DataView(bytes.buffer).setUint32(0, MAGIC.PILT);
  bytes.set(packet, 4);
  return bytes;
}
