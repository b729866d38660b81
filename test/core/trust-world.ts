/**
 * A world for trust tests: agents in virtual time around the real registry, whose messages are late or lost and who crash
 * and come back with what they saved last. Everything follows from the seed.
 */
import { Trust } from '../../src/core/trust.ts';
import type { RegistryAction, RegistryResult, TrustAction } from '../../src/core/trust-exchange.ts';
import { TrustTables } from '../../src/core/trust-tables.ts';
import { fromBase64 } from '../../src/wire/base64.ts';
import type { TrustMessage } from '../../src/wire/trust.ts';
import { type Random, random } from '../reference/hostile.ts';
import { Identity, World } from '../server/rig.ts';

/** One agent and its operator's memory. */
export class Agent {
  readonly identity: Identity;
  readonly id: number;
  /** Whom the operator asked or approved, and has not revoked since. */
  readonly wanted = new Set<number>();
  trust: Trust;
  saved: string | undefined;
  ack = 0;
  pollAt = 0;
  /** Messages sent to or by an earlier life do not count. */
  life = 0;

  constructor(identity: Identity, id: number, trust: Trust) {
    this.identity = identity;
    this.id = id;
    this.trust = trust;
  }
}

interface Task {
  readonly at: number;
  readonly run: () => void;
}

/** Agents, the registry between them, and what is under way. */
export class TrustWorld {
  now = 0;
  readonly registry = new World({ staleMs: 1e12 });
  readonly agents: Agent[] = [];
  readonly random: Random;
  /** How many messages of a hundred are lost. */
  lossPercent = 0;
  isRegistryUp = true;
  readonly #startMs = this.registry.unixMs;
  readonly #tasks: Task[] = [];

  constructor(seed: number, count: number) {
    this.random = random(seed);
    // Whether signatures are checked is tested elsewhere; here it would take most of the time.
    const { execute } = this.registry;
    this.registry.execute = (operation) => (operation.type === 'verify' ? true : execute(operation));
    for (let i = 0; i < count; i++) {
      const identity = new Identity(`agent ${i}`);
      const agent = new Agent(identity, this.registry.join(identity), this.#makeTrust(undefined));
      agent.trust.setLocalId(0, agent.id);
      this.agents.push(agent);
    }
  }

  /** What the operator wants of it is remembered, and what follows is begun. */
  act(agent: Agent, what: 'request' | 'approve' | 'reject' | 'revoke', peer: number): void {
    const { trust, wanted } = agent;
    if (what === 'request') {
      trust.request(this.now, peer, 'hi');
      wanted.add(peer);
    } else if (what === 'approve') {
      if (trust.approve(this.now, peer) === 'done') wanted.add(peer);
    } else if (what === 'reject') trust.reject(this.now, peer, 'no');
    else {
      trust.revoke(this.now, peer);
      wanted.delete(peer);
    }
    this.#drain(agent);
  }

  /** All that was not carried out is gone, and all that came after the last write. */
  crash(agent: Agent): void {
    agent.life += 1;
    agent.ack = 0;
    agent.trust = this.#makeTrust(agent.saved);
    agent.trust.setLocalId(this.now, agent.id);
  }

  /** Lets time pass. @param check - Runs after everything that happens. */
  elapse(ms: number, check: () => void = () => {}): void {
    const end = this.now + ms;
    for (;;) {
      const task = this.#tasks.reduce<Task | undefined>(
        (first, one) => (first === undefined || one.at < first.at ? one : first),
        undefined,
      );
      const wakes = this.agents.map(({ trust, pollAt }) => Math.min(trust.pollTimeout(), pollAt));
      const at = Math.max(this.now, Math.min(task?.at ?? end, ...wakes));
      if (at >= end) break;
      this.#setTime(at);
      if (task !== undefined && task.at <= at) {
        this.#tasks.splice(this.#tasks.indexOf(task), 1);
        task.run();
      }
      for (const agent of this.agents) this.#wake(agent);
      check();
    }
    this.#setTime(end);
  }

  #makeTrust(text: string | undefined): Trust {
    return new Trust({ tables: new TrustTables(text), unixOffset: this.#startMs });
  }

  #setTime(now: number): void {
    this.registry.elapse(now - this.now);
    this.now = now;
  }

  #wake(agent: Agent): void {
    agent.trust.handleTimeout(this.now);
    if (this.now >= agent.pollAt) this.#poll(agent);
    this.#drain(agent);
  }

  #poll(agent: Agent): void {
    agent.pollAt = this.now + (agent.trust.isAwaiting(this.now) ? 2_000 : 30_000);
    if (!this.isRegistryUp) return;
    const mail = this.registry.poll(agent.identity, agent.id, { ack: agent.ack });
    // The answer may be lost with its link.
    if (this.#isLost()) return;
    for (const { from_node_id: from, justification, seq, public_key } of mail.requests) {
      const facts = { registryKey: fromBase64(public_key ?? ''), sharedNetwork: undefined };
      const request = { from, justification, timestamp: this.#time(seq) };
      agent.trust.handleRelayedRequest(this.now, request, facts);
      agent.ack = Math.max(agent.ack, seq ?? 0);
    }
    for (const { from_node_id: from, accept, seq } of mail.responses) {
      const facts = { registryKey: this.#agent(from).identity.publicKey, sharedNetwork: undefined };
      agent.trust.handleRelayedResponse(this.now, { from, accept, timestamp: this.#time(seq) }, facts);
      agent.ack = Math.max(agent.ack, seq ?? 0);
    }
  }

  /** Differs for different mail, as its time stamp does in seconds. */
  #time(seq: number | undefined): number {
    return Math.floor(this.#startMs / 1000) + (seq ?? 0);
  }

  #drain(agent: Agent): void {
    for (let action = agent.trust.pollAction(); action !== undefined; action = agent.trust.pollAction()) {
      this.#perform(agent, action);
    }
  }

  #perform(agent: Agent, action: TrustAction): void {
    switch (action.type) {
      case 'persist':
        agent.saved = agent.trust.save();
        break;
      case 'event':
      case 'tearDown':
        break;
      case 'sendDirect':
        this.#send(agent, action);
        break;
      default:
        this.#ask(agent, action);
    }
  }

  #send(agent: Agent, action: Extract<TrustAction, { type: 'sendDirect' }>): void {
    const { peer, messageType: type, justification, reason } = action;
    const { id: nodeId, identity } = agent;
    const isLost = this.#isLost();
    const timestamp = Math.floor((this.#startMs + this.now) / 1000);
    const message: TrustMessage = {
      type,
      nodeId,
      publicKey: identity.publicKey,
      justification,
      signature: new Uint8Array(64),
      reason,
      timestamp,
    };
    this.#later(agent, this.random.below(1_500), () => {
      const registryKey = identity.publicKey;
      const facts = { authenticatedId: nodeId, isSignatureValid: true, registryKey, sharedNetwork: undefined };
      if (!isLost) this.#agent(peer).trust.handleDirect(this.now, message, facts);
      const delay = isLost ? 20_000 : this.random.below(100);
      this.#later(agent, delay, () => agent.trust.noteDirectResult(this.now, peer, type, !isLost));
    });
  }

  #ask(agent: Agent, action: Extract<TrustAction, { type: RegistryAction }>): void {
    const { registry } = this;
    const { identity, id } = agent;
    const { peer, type } = action;
    const isAsked = this.isRegistryUp && !this.#isLost();
    const answer = !isAsked
      ? { error: 'down' }
      : type === 'relayRequest'
        ? registry.request(identity, id, peer)
        : type === 'relayRespond'
          ? registry.respond(identity, id, peer, action.accept)
          : type === 'reportTrust'
            ? registry.report(identity, id, peer)
            : registry.revoke(identity, id, peer);
    const isAnswered = isAsked && !this.#isLost();
    const result = isAnswered ? resultOf(answer) : resultOf({ error: 'down' });
    const delay = isAnswered ? this.random.below(200) : 8_000;
    this.#later(agent, delay, () => agent.trust.noteRegistryResult(this.now, type, peer, result));
  }

  #later(agent: Agent, delay: number, run: () => void): void {
    const { life } = agent;
    this.#tasks.push({
      at: this.now + delay,
      run: () => {
        if (agent.life === life) run();
      },
    });
  }

  #agent(id: number): Agent {
    const found = this.agents.find((agent) => agent.id === id);
    if (found === undefined) throw new Error(`no agent ${id}`);
    return found;
  }

  #isLost(): boolean {
    return this.random.below(100) < this.lossPercent;
  }
}

/** As the registry client reads it. */
function resultOf(answer: Record<string, unknown>): RegistryResult {
  if (answer.error === undefined) return { ok: true };
  const text = `${answer.error} ${answer.code}`;
  if (/already/i.test(text)) return { ok: false, code: 'ALREADY_EXISTS' };
  if (/not.found/i.test(text)) return { ok: false, code: 'NOT_FOUND' };
  return { ok: false, code: 'RENDEZVOUS_UNREACHABLE' };
}
