/**
 * The registry of a recording, as one peer meets it. Ours asks other questions in another order than the recorded peer,
 * and each answer belongs to its question (CP 1.2); so the recorded answers are given to the questions that they answered,
 * at the recorded time where ours asks at about that time, else at once. What a mailbox brings is what others had left
 * there by then.
 */
import type { Millis } from '../../src/config.ts';
import { frame, type RegistryFields } from '../../src/wire/registry.ts';
import { type Life, parseAnswer, type Question, type Recording } from './recording.ts';

/** An answer, framed, and when it comes. */
export interface Reply {
  readonly at: Millis;
  readonly bytes: Uint8Array;
}

interface MailEntry {
  readonly from_node_id: number;
}

/** One entry of a mailbox. */
interface Mail {
  readonly at: Millis;
  readonly kind: 'requests' | 'responses';
  readonly entry: MailEntry;
}

/** How far the recorded question may lie ahead to be the one that ours asks. */
const SAME_MS: Millis = 1_000;
/** What makes two questions the same. */
const SUBJECT = ['node_id', 'peer_id', 'from_node_id', 'to_node_id', 'hostname', 'public', 'accept'] as const;

/** Answers for one life. */
export class RecordedRegistry {
  readonly #questions: readonly Question[];
  readonly #mail: Mail[];
  readonly #nodeId: number;
  /** What ours asked, in order. */
  readonly asked: RegistryFields[] = [];
  /** Questions that no recorded peer asked. */
  readonly unknown: Set<string> = new Set();

  constructor(recording: Recording, life: Life) {
    const { nodeId } = life;
    // What a peer asked in an earlier life, the registry would answer again.
    const all = recording.lives.filter((other) => other.nodeId === nodeId).flatMap(({ questions }) => questions);
    this.#nodeId = nodeId;
    this.#questions = [...life.questions, ...all.filter((question) => !life.questions.includes(question))];
    this.#mail = mailOf(recording, life);
  }

  /** Answers one request body. */
  ask(now: Millis, body: Uint8Array): Reply {
    const request = parseAnswer(body);
    if (request === undefined) throw new Error('Ours asked something that is no JSON');
    this.asked.push(request);
    if (request.type === 'poll_handshakes') return { at: now, bytes: this.#poll(now) };
    const same = this.#questions.filter((question) => isSame(question.request, request));
    const nearest = same.sort((a, b) => Math.abs(a.at - now) - Math.abs(b.at - now))[0];
    if (nearest === undefined) return { at: now, bytes: this.#invent(request) };
    const isNow = nearest.at >= now - SAME_MS && nearest.at <= now + SAME_MS;
    return { at: isNow ? Math.max(now, nearest.answeredAt) : now, bytes: frame(nearest.answer) };
  }

  #poll(now: Millis): Uint8Array {
    const due = this.#mail.filter(({ at }) => at <= now);
    this.#mail.splice(0, this.#mail.length, ...this.#mail.filter(({ at }) => at > now));
    const of = (kind: 'requests' | 'responses'): unknown[] =>
      due.filter((one) => one.kind === kind).map((one) => one.entry);
    return json({ type: 'poll_handshakes_ok', requests: of('requests'), responses: of('responses') });
  }

  /** The shortest answer that CP 1.8 and 1.9 know; a registry of that time has no list of beacons. */
  #invent(request: RegistryFields): Uint8Array {
    this.unknown.add(`${request.type}`);
    if (request.type === 'beacon_list') return json({ type: 'error', error: 'unknown message type: beacon_list' });
    if (request.type === 'check_trust') return json({ type: 'check_trust_ok', trusted: false });
    return json({ type: `${request.type}_ok`, node_id: this.#nodeId });
  }
}

/** What polls of this life brought, each from the moment on at which the registry had it. */
function mailOf({ lives }: Recording, life: Life): Mail[] {
  const left = lives.flatMap(({ questions }) => questions);
  const mail: Mail[] = [];
  for (const { request, answer, answeredAt } of life.questions) {
    if (request.type !== 'poll_handshakes') continue;
    const fields: { readonly [field: string]: unknown } = parseAnswer(answer) ?? {};
    for (const kind of ['requests', 'responses'] as const) {
      const type = kind === 'requests' ? 'request_handshake' : 'respond_handshake';
      for (const entry of Array.isArray(fields[kind]) ? (fields[kind] as MailEntry[]) : []) {
        const source = left.find(
          (q) => q.request.type === type && (q.request.from_node_id ?? q.request.node_id) === entry.from_node_id,
        );
        mail.push({ at: source?.answeredAt ?? answeredAt, kind, entry });
      }
    }
  }
  return mail;
}

function isSame(recorded: RegistryFields, asked: RegistryFields): boolean {
  if (recorded.type !== asked.type) return false;
  if (asked.type === 'register') return true;
  return SUBJECT.every((name) => recorded[name] === asked[name]);
}

function json(fields: RegistryFields): Uint8Array {
  return frame(new TextEncoder().encode(JSON.stringify(fields)));
}
