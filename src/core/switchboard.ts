/**
 * Where the parts of a presence hear of each other, and the contacts of them: it drains each, translates what it says for
 * the others, and collects what the driver is to hear. It decides nothing.
 */
import type { Millis } from '../config.ts';
import type { Contacts } from './contacts.ts';
import type { Outcome, RegistryObject, Ticket } from './events.ts';
import { NO_PATH } from './paths.ts';
import type { Presence } from './presence.ts';

/** The registry link; there is one. */
const REGISTRY_LINK = 0;

/** The news between the parts of one endpoint. */
export class Switchboard {
  readonly #presence: Presence;
  #contacts: Contacts | undefined;
  #isCarrierTold = false;
  #isMeetingTold = false;
  #nodeId = 0;
  #beaconPath: number = NO_PATH;
  /** What the mailbox held when nobody was there to read it. */
  #mail: RegistryObject | undefined;

  constructor(presence: Presence) {
    this.#presence = presence;
  }

  /** Our node id; 0 before the first registration. */
  get nodeId(): number {
    return this.#nodeId;
  }

  get contacts(): Contacts | undefined {
    return this.#contacts;
  }

  /** They are there: they learn what happened before. */
  connect(now: Millis, contacts: Contacts): void {
    this.#contacts = contacts;
    contacts.beaconPath = this.#beaconPath;
    if (this.#nodeId !== 0) contacts.handleRegistered(now, this.#nodeId);
    if (this.#mail !== undefined) contacts.handleMailbox(now, this.#mail);
    this.#mail = undefined;
  }

  /** Somebody is to be spoken with, and what that takes is not there. */
  wantContacts(): void {
    if (this.#isMeetingTold || this.#contacts !== undefined) return;
    this.#isMeetingTold = true;
    this.#presence.events.push({ type: 'meet' });
  }

  /** They could not be brought; the next who wants them asks again. */
  forgetWanting(): void {
    this.#isMeetingTold = false;
  }

  /** Drains the parts into each other until none has news, then seals what came of it. */
  settle(now: Millis): void {
    this.#drainBridge(now);
    this.#drainRegistration(now);
    this.#contacts?.settle(now);
    this.#drainRegistration(now);
    this.#contacts?.finish(now);
    this.drainJobs();
  }

  #drainRegistration(now: Millis): void {
    const { registration, carrier, paths, events } = this.#presence;
    for (let news = registration.pollNews(); news !== undefined; news = registration.pollNews()) {
      if (news.type === 'registered') {
        this.#handleRegistered(now, news.nodeId);
        events.push(news);
      } else if (news.type === 'state') {
        events.push({ ...news, type: 'registryState' });
      } else if (news.type === 'beacon') {
        carrier.handleAsked(now);
        if (carrier.name === 'udp') this.#setBeaconPath(paths.intern(news.host, news.port));
      } else {
        this.#handleMailbox(now, news.answer);
      }
    }
    for (let frame = registration.pollFrame(); frame !== undefined; frame = registration.pollFrame()) {
      this.#presence.outbox.post(this.#presence.counters, frame, this.#beaconPath);
    }
  }

  #handleRegistered(now: Millis, nodeId: number): void {
    const { tables, carrier, bridge } = this.#presence;
    this.#nodeId = nodeId;
    this.#contacts?.handleRegistered(now, nodeId);
    if (tables.hasErrands) this.wantContacts();
    if (carrier.wantsBridge) bridge.start(now, nodeId);
  }

  #handleMailbox(now: Millis, answer: RegistryObject): void {
    if (this.#contacts !== undefined) {
      this.#contacts.handleMailbox(now, answer);
      return;
    }
    const isEmpty = [answer.requests, answer.responses].every((list) => !Array.isArray(list) || list.length === 0);
    if (isEmpty) return;
    // What is not acknowledged comes again, so that the last answer has everything.
    this.#mail = answer;
    this.wantContacts();
  }

  #setBeaconPath(path: number): void {
    const { paths } = this.#presence;
    paths.hold(path);
    paths.release(this.#beaconPath);
    this.#beaconPath = path;
    if (this.#contacts !== undefined) this.#contacts.beaconPath = path;
  }

  #drainBridge(now: Millis): void {
    const { bridge, carrier, registration, events } = this.#presence;
    if (!carrier.wantsBridge && bridge.isActive) bridge.stop();
    for (let news = bridge.pollNews(); news !== undefined; news = bridge.pollNews()) {
      if (news.type === 'ready') {
        this.#handleReady(now);
      } else if (news.type === 'notRegistered') {
        registration.registerAgain(now);
      } else {
        const code = news.type === 'replaced' ? 'REPLACED' : news.error;
        carrier.handleFailed(code);
        if (carrier.name === 'websocket') this.#setBeaconPath(NO_PATH);
        events.push({ type: 'carrier', state: news.type, code, closed: news.code });
      }
    }
    // Also when the beacon answers over UDP, or nothing works.
    if (carrier.isDecided && !this.#isCarrierTold) this.#tellCarrier();
  }

  /** The WebSocket works: from here on it is the beacon, and there are no other paths. */
  #handleReady(now: Millis): void {
    const { carrier, socketPath, registration } = this.#presence;
    const isChange = carrier.handleReady();
    if (carrier.name !== 'websocket') return;
    this.#setBeaconPath(socketPath);
    if (isChange) {
      registration.setRelayOnly(now);
      this.#contacts?.handleCarrier();
    }
    this.#tellCarrier();
  }

  #tellCarrier(): void {
    this.#isCarrierTold = true;
    this.#presence.events.push({ type: 'carrier', state: 'ready', code: undefined, closed: 0 });
  }

  /** Work for the driver. */
  drainJobs(): void {
    const { jobs, client, bridge, events } = this.#presence;
    for (let job = jobs.poll(); job !== undefined; job = jobs.poll()) events.push({ type: 'job', ...job });
    for (let command = client.pollCommand(); command; command = client.pollCommand()) {
      events.push({ type: command === 'open' ? 'openLink' : 'closeLink', link: REGISTRY_LINK });
    }
    for (let command = bridge.pollCommand(); command !== undefined; command = bridge.pollCommand()) {
      if (command.type === 'send') events.push({ type: 'sendBridge', message: command.message });
      else events.push({ type: command.type === 'open' ? 'openBridge' : 'closeBridge' });
    }
  }

  /** Answers a question. */
  answer(ticket: Ticket, outcome: Outcome): void {
    this.#presence.events.push({ type: 'answer', ticket, outcome });
  }
}
