/**
 * Being known at the rendezvous: the reflexive address, registration, heartbeats, the beacon's record of us, and the
 * mailbox of trust messages (DP 4.8, CP 1.7, CP 2.7). It says what to ask; registry-client.ts carries it.
 */
import { type Millis, TIMERS } from '../config.ts';
import type { ErrorCode } from '../errors.ts';
import { toBase64 } from '../wire/base64.ts';
import { discoverText, emitDiscover } from '../wire/beacon.ts';
import { formatHostPort, ipBytes, isPrivateHost, parseHostPort } from '../wire/host-port.ts';
import { CHALLENGE } from '../wire/registry.ts';
import type { RegistryObject } from './events.ts';
import type { Jobs } from './jobs.ts';
import type { RegistryClient, RegistryOutcome } from './registry-client.ts';

/** What an agent tells the registry of itself. */
export interface Profile {
  readonly publicKey: Uint8Array;
  readonly identity: number;
  readonly hostname: string | undefined;
  readonly tags: readonly string[];
  readonly isPublic: boolean;
  readonly version: string;
  readonly localPort: number;
  readonly lanAddresses: readonly string[];
  /** The registry's host: the beacon is there, one port up, unless the registry names others. */
  readonly rendezvous: { readonly host: string; readonly port: number };
}

/** What came of it. */
export type RegistrationNews =
  | { type: 'registered'; nodeId: number; hostname: string | undefined; hostnameError: string | undefined }
  | { type: 'state'; isOnline: boolean; code: ErrorCode | undefined }
  | { type: 'beacon'; host: string; port: number }
  | { type: 'mailbox'; answer: RegistryObject };

/** A Discover is answered at once on a good network; registration does not wait longer for it. */
const DISCOVER_WAIT_MS = 400;
/** When a Discover without an answer is repeated; after that as usual. The beacon forgets nobody whom it never heard. */
const DISCOVER_AGAIN_MS: readonly Millis[] = [500, 500, 1_000, 2_000, 4_000];
/** Clients believe a Discover reply only this long after their own Discover (design: decision 12). */
const DISCOVER_BELIEF_MS = 2_000;
/** CP 1.7.4: how long a failed registration waits before the next, doubling. */
const RETRY_MS: Millis = 1_000;
const RETRY_MAX_MS: Millis = 30_000;
/** A moving reflexive address makes us register no more often than this. */
const MOVE_MS: Millis = 5_000;
/** After these a second try can help. */
const CAN_HELP: ReadonlySet<ErrorCode> = new Set(['BUSY', 'RATE_LIMITED', 'RENDEZVOUS_UNREACHABLE']);
const NEVER = Number.NEGATIVE_INFINITY;

/** The life of one agent at the rendezvous. */
export class Registration {
  readonly #client: RegistryClient;
  readonly #jobs: Jobs;
  readonly #profile: Profile;
  #nodeId = 0;
  #isOnline = false;
  #isBusy = false;
  #beacon: { host: string; port: number };
  #reflexive: { host: string; port: number } | undefined;
  #wantsSignedDiscover = false;
  /** We are reached through the beacon only: no address of ours is of use to anybody. */
  #isRelayOnly = false;
  #registerAt: Millis = Number.POSITIVE_INFINITY;
  /** When the last registration for another address was due. */
  #movedAt: Millis = NEVER;
  /** When the next registration may be made because others ask for one. */
  #againAt: Millis = NEVER;
  /** The address that the last registration named, and the one that the registry made of it. */
  #registeredAs: readonly unknown[] = [];
  #retryMs: Millis = RETRY_MS;
  /** Tags and visibility are known to the registry. */
  #isDescribed = false;
  #heartbeatAt: Millis = Number.POSITIVE_INFINITY;
  #failures = 0;
  #discoverAt: Millis = Number.POSITIVE_INFINITY;
  #discoveredAt: Millis = NEVER;
  /** Replies still to come. */
  #owed = 0;
  /** Discovers in a row without an answer. */
  #unanswered = 0;
  #pollAt: Millis = Number.POSITIVE_INFINITY;
  #polledAt: Millis = NEVER;
  #isPolling = false;
  /** A hint came while the mailbox was being read: it may be about what was put there behind our back. */
  #isNotified = false;
  #wantsFastPoll = false;
  #mailboxAck = 0;
  #unixOffset: Millis;
  /** The time in the last signed Discover; beacons want it to rise. */
  #signedAtMs = 0;
  readonly #news: RegistrationNews[] = [];
  readonly #frames: Uint8Array[] = [];

  constructor(client: RegistryClient, jobs: Jobs, profile: Profile, unixOffset: Millis) {
    this.#client = client;
    this.#jobs = jobs;
    this.#profile = profile;
    this.#unixOffset = unixOffset;
    this.#beacon = { host: profile.rendezvous.host, port: profile.rendezvous.port + 1 };
  }

  /** 0 before the first registration. */
  get nodeId(): number {
    return this.#nodeId;
  }

  get isOnline(): boolean {
    return this.#isOnline;
  }

  /** Our address as the beacon sees it. */
  get reflexive(): { host: string; port: number } | undefined {
    return this.#reflexive;
  }

  /**
   * Others reach us through the beacon only, from now on; a registration that says otherwise is made again. Before
   * `start`, or at any time.
   */
  setRelayOnly(now: Millis): void {
    this.#isRelayOnly = true;
    this.#reflexive = undefined;
    this.#discoverAt = Number.POSITIVE_INFINITY;
    if (this.#isOnline || this.#registerAt !== Number.POSITIVE_INFINITY) this.#registerAt = now;
  }

  /** The registry lost us, as others say. */
  registerAgain(now: Millis): void {
    if (this.#isOnline && !this.#isBusy) this.#registerAt = Math.max(now, this.#againAt);
    this.#againAt = now + MOVE_MS;
  }

  /** Begins: reflexive address and link at the same time. */
  start(now: Millis): void {
    this.#news.push({ type: 'beacon', ...this.#beacon });
    this.#client.start();
    this.#discover(now);
  }

  /** The wall clock moved, or a minute passed. @param unixOffset - Unix ms minus monotonic ms. */
  setUnixOffset(unixOffset: Millis): void {
    this.#unixOffset = unixOffset;
  }

  /** The link is open: ask where the beacon is, then register. */
  handleOpen(now: Millis): void {
    if (this.#isRelayOnly) {
      this.#registerAt = now;
      return;
    }
    this.#client.request(now, { fields: { type: 'beacon_list' }, isIdempotent: true }, (at, outcome) => {
      this.#readBeacons(at, outcome);
      this.#registerAt = this.#reflexive === undefined ? at + DISCOVER_WAIT_MS : at;
    });
  }

  handleClosed(code: ErrorCode | undefined): void {
    if (this.#isOnline || code !== undefined) this.#news.push({ type: 'state', isOnline: false, code });
    this.#isOnline = false;
    this.#registerAt = Number.POSITIVE_INFINITY;
  }

  /** A Discover reply from the beacon. @returns False when nobody asked for it. */
  handleReflexive(now: Millis, host: string, port: number): boolean {
    if (now - this.#discoveredAt > DISCOVER_BELIEF_MS) return false;
    // A reply does not say which Discover it answers: that all were answered is known when as many came.
    this.#owed -= 1;
    if (this.#owed <= 0) {
      this.#owed = 0;
      this.#unanswered = 0;
      this.#discoverAt = this.#discoveredAt + TIMERS.discoverMs;
    }
    // DP 4.8: a private address is no reflexive address, unless the beacon itself is on such a network. Of a beacon with
    // a name that is not known; one on the internet does not see private addresses.
    const isPublicBeacon = ipBytes(this.#beacon.host) !== undefined && !isPrivateHost(this.#beacon.host);
    if (isPrivateHost(host) && isPublicBeacon) return true;
    const isNew = this.#reflexive?.host !== host || this.#reflexive.port !== port;
    this.#reflexive = { host, port };
    if (!isNew) return true;
    if (this.#isOnline) this.#move(now);
    // A registration that is to come waits for this.
    else if (this.#registerAt !== Number.POSITIVE_INFINITY) this.#registerAt = now;
    return true;
  }

  /** The beacon says that something waits (DP 4.6); a hint, so limited. */
  handleNotify(now: Millis): void {
    this.#isNotified = this.#isPolling;
    this.#pollAt = Math.min(this.#pollAt, Math.max(now, this.#polledAt + TIMERS.pollBusyMs));
  }

  /** Whether answers are awaited: then the mailbox is read every 2 s (CP 2.7). */
  setFastPoll(now: Millis, wanted: boolean): void {
    if (wanted && !this.#wantsFastPoll && this.#isOnline) {
      this.#pollAt = Math.min(this.#pollAt, Math.max(now, this.#polledAt + TIMERS.pollBusyMs));
    }
    this.#wantsFastPoll = wanted;
  }

  /** The mailbox entries up to `seq` are safe on our side; the next poll says so. */
  acknowledgeMailbox(seq: number): void {
    this.#mailboxAck = Math.max(this.#mailboxAck, seq);
  }

  /** The machine slept: our address may be another, and the link dead. */
  handleWake(now: Millis): void {
    this.#discover(now);
    if (this.#isOnline) this.#heartbeatAt = now;
  }

  handleTimeout(now: Millis): void {
    if (now >= this.#discoverAt) this.#discover(now);
    if (!this.#client.isOpen) return;
    if (now >= this.#registerAt && !this.#isBusy) this.#register(now);
    if (!this.#isOnline) return;
    if (now >= this.#heartbeatAt) this.#heartbeat(now);
    if (now >= this.#pollAt && !this.#isPolling) this.#poll(now);
  }

  pollTimeout(): Millis {
    let at = this.#discoverAt;
    if (!this.#client.isOpen) return at;
    if (!this.#isBusy) at = Math.min(at, this.#registerAt);
    if (!this.#isOnline) return at;
    if (!this.#isPolling) at = Math.min(at, this.#pollAt);
    return Math.min(at, this.#heartbeatAt);
  }

  pollNews(): RegistrationNews | undefined {
    return this.#news.shift();
  }

  /** Datagrams for the beacon. */
  pollFrame(): Uint8Array | undefined {
    return this.#frames.shift();
  }

  #readBeacons(now: Millis, outcome: RegistryOutcome): void {
    const list = outcome.ok && Array.isArray(outcome.answer.beacons) ? outcome.answer.beacons.slice(0, 64) : [];
    const known = list
      .map((entry: { addr?: unknown } | null) =>
        typeof entry?.addr === 'string' ? parseHostPort(entry.addr) : undefined,
      )
      .filter((entry) => entry !== undefined);
    if (known.length === 0) return;
    const key = this.#profile.publicKey;
    const chosen = known[(((key[0] ?? 0) << 8) | (key[1] ?? 0)) % known.length];
    if (chosen === undefined) return;
    // A beacon that listens everywhere does not know its address: it is where the registry is.
    const host = chosen.host === '0.0.0.0' || chosen.host === '::' ? this.#profile.rendezvous.host : chosen.host;
    if (host === this.#beacon.host && chosen.port === this.#beacon.port) return;
    this.#beacon = { host, port: chosen.port };
    this.#news.push({ type: 'beacon', host, port: chosen.port });
    this.#unanswered = 0;
    this.#discover(now);
  }

  /** Registers again when the registry has another address of us than the beacon sees. */
  #move(now: Millis): void {
    const own = this.#reflexive;
    if (own === undefined || this.#registeredAs.includes(formatHostPort(own.host, own.port))) return;
    this.#registerAt = Math.max(now, this.#movedAt + MOVE_MS);
    this.#movedAt = this.#registerAt;
  }

  #register(now: Millis): void {
    this.#registerAt = Number.POSITIVE_INFINITY;
    this.#isBusy = true;
    const isRelayOnly = this.#isRelayOnly;
    const { hostname, version, lanAddresses, localPort } = this.#profile;
    const publicKey = toBase64(this.#profile.publicKey);
    const own = this.#reflexive ?? { host: '0.0.0.0', port: localPort };
    // CP 1.7.1: without an address the registry takes the link's, and tells nobody.
    const listenAddress = this.#isRelayOnly ? '' : formatHostPort(own.host, own.port);
    const fields: RegistryObject = {
      type: 'register',
      listen_addr: listenAddress,
      public_key: publicKey,
      version,
      protocol_version: 1,
      ...(hostname === undefined ? {} : { hostname }),
      ...(this.#isRelayOnly ? { relay_only: true } : {}),
      ...(lanAddresses.length === 0 || this.#isRelayOnly ? {} : { lan_addrs: lanAddresses }),
    };
    const request = { fields, challenge: CHALLENGE.register(listenAddress, publicKey), isIdempotent: true };
    this.#client.request(now, request, (at, outcome) => {
      this.#isBusy = false;
      if (outcome.ok) this.#registeredAs = [listenAddress, outcome.answer.observed_addr];
      this.#registered(at, outcome);
      // What was said meanwhile is not true any more.
      if (isRelayOnly !== this.#isRelayOnly) this.#registerAt = at;
    });
  }

  #registered(now: Millis, outcome: RegistryOutcome): void {
    const nodeId = outcome.ok ? outcome.answer.node_id : undefined;
    if (!outcome.ok || typeof nodeId !== 'number' || !(nodeId > 0)) {
      // An address that could not be changed leaves the registration as it was.
      if (!this.#isOnline) {
        this.#news.push({ type: 'state', isOnline: false, code: outcome.ok ? 'PROTOCOL' : outcome.code });
      }
      // The key decides who comes when: all come at once when a registry comes back.
      this.#registerAt = now + this.#retryMs * (1 + (this.#profile.publicKey[2] ?? 0) / 512);
      this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
      return;
    }
    const { answer } = outcome;
    const isFirst = this.#nodeId === 0;
    this.#nodeId = nodeId;
    this.#wantsSignedDiscover = answer.discover_sig === true;
    this.#isOnline = true;
    this.#failures = 0;
    this.#retryMs = RETRY_MS;
    this.#registerAt = Number.POSITIVE_INFINITY;
    this.#move(now);
    this.#heartbeatAt = now + TIMERS.heartbeatMs;
    // An answer may have come while we were away.
    this.#pollAt = now;
    if (isFirst) this.#unanswered = 0;
    this.#discover(now);
    if (isFirst || this.#profile.isPublic || this.#profile.tags.length > 0) this.#describe(now);
    const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
    const hostname = text(answer.hostname);
    const hostnameError = text(answer.hostname_error);
    this.#news.push({ type: 'registered', nodeId: this.#nodeId, hostname, hostnameError });
  }

  /** What is refused now is said again with the next heartbeat, for example after too many requests. */
  #describe(now: Millis): void {
    const node_id = this.#nodeId;
    const { tags, isPublic } = this.#profile;
    this.#isDescribed = true;
    const then = (_: Millis, outcome: RegistryOutcome): void => {
      if (!outcome.ok && CAN_HELP.has(outcome.code)) this.#isDescribed = false;
    };
    if (tags.length > 0) {
      const challenge = CHALLENGE.setTags(node_id);
      this.#client.request(now, { fields: { type: 'set_tags', node_id, tags }, challenge, isIdempotent: true }, then);
    }
    const challenge = CHALLENGE.setVisibility(node_id);
    const fields = { type: 'set_visibility', node_id, public: isPublic };
    this.#client.request(now, { fields, challenge, isIdempotent: true }, then);
  }

  #heartbeat(now: Millis): void {
    this.#heartbeatAt = now + TIMERS.heartbeatMs;
    const node_id = this.#nodeId;
    const fields = { type: 'heartbeat', node_id };
    const request = { fields, challenge: CHALLENGE.heartbeat(node_id), isIdempotent: true };
    this.#client.request(now, request, (at, outcome) => {
      if (outcome.ok) {
        this.#failures = 0;
        if (!this.#isDescribed) this.#describe(at);
        return;
      }
      // CP 1.7.4: an unknown node registers again at once, other failures after three in a row.
      this.#failures += 1;
      if (outcome.code === 'NOT_FOUND' || this.#failures >= 3) this.#registerAt = at;
    });
  }

  #poll(now: Millis): void {
    this.#isPolling = true;
    this.#polledAt = now;
    const node_id = this.#nodeId;
    const fields = { type: 'poll_handshakes', node_id, ack: this.#mailboxAck };
    // CP 1.9.2: to read empties the box at existing registries, so that a second reading is another one.
    const request = { fields, challenge: CHALLENGE.pollHandshakes(node_id) };
    this.#client.request(now, request, (at, outcome) => {
      const isLost = !outcome.ok && outcome.code === 'RENDEZVOUS_UNREACHABLE';
      const isSoon = this.#wantsFastPoll || this.#isNotified || isLost;
      this.#isPolling = false;
      this.#isNotified = false;
      this.#pollAt = at + (isSoon ? TIMERS.pollBusyMs : TIMERS.pollIdleMs);
      if (outcome.ok) this.#news.push({ type: 'mailbox', answer: outcome.answer });
    });
  }

  #discover(now: Millis): void {
    if (this.#isRelayOnly) return;
    this.#discoverAt = now + (DISCOVER_AGAIN_MS[this.#unanswered] ?? TIMERS.discoverMs);
    this.#owed = this.#unanswered < DISCOVER_AGAIN_MS.length ? this.#owed + 1 : 1;
    this.#unanswered += 1;
    this.#discoveredAt = now;
    const nodeId = this.#nodeId;
    if (nodeId === 0) {
      this.#frames.push(emitDiscover(0));
      return;
    }
    const { publicKey, identity } = this.#profile;
    if (!this.#wantsSignedDiscover) {
      this.#frames.push(emitDiscover(nodeId, { publicKey }));
      return;
    }
    const signedAtMs = Math.max(Math.round(now + this.#unixOffset), this.#signedAtMs + 1);
    this.#signedAtMs = signedAtMs;
    const message = new TextEncoder().encode(discoverText(nodeId, signedAtMs));
    this.#jobs.start({ kind: 'sign', identity, message }, (_, signature) => {
      if (signature instanceof Uint8Array)
        this.#frames.push(emitDiscover(nodeId, { publicKey, signedAtMs, signature }));
    });
  }
}
