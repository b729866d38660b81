/**
 * What keeps paths open: keepalives, path probes, attempts to leave the relay (DP 3.15, 4.9). Runs only while there is a
 * session to keep.
 */
import { PATH_PROBE } from '../../src/wire/control.ts';
import { FLAG, PROTOCOL } from '../../src/wire/packet.ts';
import type { Packet } from './packet.ts';
import type { Behaviour } from './peer-behaviour.ts';
import type { Contact } from './peer-contact.ts';
import type { PeerTimer, PeerTransport } from './peer-socket.ts';

const TICK_MS = 5000;
const KEEPALIVE_MS = 25_000;
const SILENCE_MS = 55_000;
const PROBES = 3;
const RESET_COOLDOWN_MS = 120_000;
const RELAY_PROBES = 5;
const RELAY_PROBE_GAP_MS = 200;

/** What the upkeep needs of the rest. */
export interface UpkeepSetup {
  readonly behaviour: Behaviour;
  readonly transport: PeerTransport;
  readonly contacts: ReadonlyMap<number, Contact>;
  readonly send: (nodeId: number, fields: Partial<Packet>, way?: 'direct' | 'relay') => void;
  readonly hasConnection: (nodeId: number) => boolean;
  /** Begins a fresh contact. */
  readonly resetPath: (contact: Contact) => void;
  /** Resolves again and asks the beacon for punches; undefined for nodes that hide their endpoint. */
  readonly locate: (contact: Contact, then: () => void) => void;
}

interface Care {
  probes: number;
  resetAt: number;
  relayProbedAt: number;
}

/** Upkeep of all contacts. */
export class PeerUpkeep {
  readonly #setup: UpkeepSetup;
  readonly #care: Map<number, Care> = new Map();
  #timer: PeerTimer | undefined;

  constructor(setup: UpkeepSetup) {
    this.#setup = setup;
  }

  /** Something came from the contact. */
  touched(contact: Contact): void {
    const care = this.#care.get(contact.nodeId);
    if (care !== undefined) care.probes = 0;
    this.#timer ??= this.#setup.transport.setTimer(TICK_MS, () => this.#tick());
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#care.clear();
  }

  #tick(): void {
    this.#timer = undefined;
    let isBusy = false;
    for (const contact of this.#setup.contacts.values()) {
      if (contact.session === undefined || !this.#isWanted(contact)) continue;
      isBusy = true;
      this.#keep(contact);
    }
    if (isBusy) this.#timer ??= this.#setup.transport.setTimer(TICK_MS, () => this.#tick());
  }

  #isWanted(contact: Contact): boolean {
    const { behaviour, transport, hasConnection } = this.#setup;
    if (behaviour.keepalive === 'none' && !behaviour.pathProbes && !contact.isRelayed) return false;
    return hasConnection(contact.nodeId) || transport.now() - contact.lastTrafficAt < behaviour.upkeepStopMs;
  }

  #keep(contact: Contact): void {
    const { behaviour, transport } = this.#setup;
    const now = transport.now();
    let care = this.#care.get(contact.nodeId);
    if (care === undefined) {
      care = { probes: 0, resetAt: Number.NEGATIVE_INFINITY, relayProbedAt: now };
      this.#care.set(contact.nodeId, care);
    }
    if (now - contact.lastSendAt >= KEEPALIVE_MS) this.keepalive(contact);
    const heardAt = Math.max(contact.lastOpenedAt, contact.session?.since ?? now);
    if (behaviour.pathProbes && now - heardAt >= SILENCE_MS) this.#probe(contact, care, now);
    if (contact.isRelayed && now - care.relayProbedAt >= behaviour.relayProbeMs) {
      care.relayProbedAt = now;
      this.#leaveRelay(contact);
    }
  }

  /** One keepalive of this generation. */
  keepalive(contact: Contact): void {
    const { behaviour, send } = this.#setup;
    const { keepalive } = behaviour;
    if (keepalive === 'none') return;
    const control = { protocol: PROTOCOL.control };
    if (keepalive === 'ack') send(contact.nodeId, { ...control, flags: FLAG.ACK });
    else if (keepalive === 'zero') send(contact.nodeId, { ...control, sourceNode: 0, destinationNode: 0 });
    else send(contact.nodeId, { ...control, destinationNode: 0 });
  }

  #probe(contact: Contact, care: Care, now: number): void {
    if (now - care.resetAt < RESET_COOLDOWN_MS) return;
    if (care.probes === PROBES) {
      care.probes = 0;
      care.resetAt = now;
      this.#setup.resetPath(contact);
    }
    care.probes += 1;
    this.#setup.send(contact.nodeId, { protocol: PROTOCOL.control, payload: PATH_PROBE });
  }

  /** DP 4.9, relay probe. */
  #leaveRelay(contact: Contact): void {
    const { behaviour, transport, locate, send } = this.#setup;
    locate(contact, () => {
      contact.isPinned = false;
      if (behaviour.relayProbeClears) contact.isRelayed = false;
      for (let i = 0; i < RELAY_PROBES; i++) {
        const probe = (): void =>
          send(contact.nodeId, { protocol: PROTOCOL.control, flags: FLAG.ACK, seq: 1 }, 'direct');
        transport.setTimer(i * RELAY_PROBE_GAP_MS, probe);
      }
    });
  }
}
