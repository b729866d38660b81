/**
 * The recorded sessions, lived again: our endpoint takes the place of each recorded peer in turn, meets what that peer
 * met, and does what it did. What stands for the rest of the world is described in remote.ts and registry.ts, what the
 * application does in plan.ts, and where ours may differ in differences.ts.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import type { Engine } from '../../src/engine/engine.ts';
import { createWasmEngine } from '../../src/engine/wasm.ts';
import { toHex } from '../../src/wire/base64.ts';
import { PROTOCOL } from '../../src/wire/packet.ts';
import type { RegistryFields } from '../../src/wire/registry.ts';
import { filesLike, isOurs, readLines } from '../vectors/folder.ts';
import { datagramsFor, differencesIn, type Rule } from './differences.ts';
import { type Plan, planOf } from './plan.ts';
import { type Performance, play } from './player.ts';
import { type Life, type Recording, readRecording } from './recording.ts';

/** One life, as it was and as it is now. */
interface Replay {
  readonly plan: Plan;
  readonly performance: Performance;
}

const NAMES = filesLike(/^session-.*\.pcap$/).map((file) => file.replace(/\.pcap$/, ''));
const RECORDINGS = NAMES.map(readRecording);

let engine: Engine;
let owners = 0;

/** A later life of a peer finds the trust that the one before left. */
function playAll(recording: Recording): Replay[] {
  engine ??= createWasmEngine({ sessions: 256 }, (into) => into.fill(7));
  const trust = new Map<number, string | undefined>();
  return recording.lives.map((life) => {
    const plan = planOf(recording, life);
    const performance = play(plan, engine, { owner: owners++, trustText: trust.get(life.nodeId) });
    trust.set(life.nodeId, performance.trustText);
    return { plan, performance };
  });
}

function keysOf(recording: Recording, life: Life): Set<string> {
  const own = toHex(life.exchangeKey);
  return new Set(recording.keys.filter((key) => key.exchangeKeys.includes(own)).map(({ key }) => toHex(key)));
}

describe.each(RECORDINGS)('recorded $name', (recording) => {
  let replays: Replay[];
  beforeAll(() => {
    replays = playAll(recording);
  });

  const lives = recording.lives.map((life, i) => ({ life, i, title: `node ${life.nodeId}, life ${i + 1}` }));

  test('has the times of its decoded file', () => {
    const files = filesLike(new RegExp(`^${recording.name}\\.decoded\\.jsonl$`));
    const lines = files.flatMap((file) => readLines<{ proto: string; t: number }>(file));
    const times = lines.filter(({ proto }) => proto === 'udp').map(({ t }) => Math.round(t * 1e6));
    if (files.length > 0) expect(recording.datagrams.map(({ at }) => Math.round(at * 1e3))).toEqual(times);
  });

  describe.each(lives)('$title', ({ life, i }) => {
    const replay = (): Replay => replays[i]!;
    const keys = keysOf(recording, life);

    test('is registered as the same node', () => {
      expect(replay().performance.nodeId).toBe(life.nodeId);
    });

    test('opens every frame that it has the key of', () => {
      const { drops, framesOpened, passed } = replay().performance;
      const came = passed.filter(({ isSent }) => !isSent);
      expect(came.length).toBeGreaterThan(0);
      expect(framesOpened).toBe(came.filter(({ key }) => keys.has(key)).length);
      // Appendix D 11: others go on under the key that a restarted peer has lost.
      expect(drops.noSession ?? 0).toBe(came.filter(({ key }) => !keys.has(key)).length);
      expect(drops).not.toHaveProperty('aeadFailed');
      expect(drops).not.toHaveProperty('replay');
      expect(drops).not.toHaveProperty('outsideWindow');
      expect(drops).not.toHaveProperty('spoofed');
      if (!isOurs) return;
      // Discover replies to the recorded peer's own questions, punches, copies of exchanges, and what the gate keeps out.
      const expected = ['beaconUnasked', 'punch', 'exchangeDuplicate', 'noSession', 'untrusted'];
      expect(expected).toEqual(expect.arrayContaining(Object.keys(drops)));
    });

    test('sends what the recorded peers can open, under the recorded prefixes', () => {
      const { plan, performance } = replay();
      // DP appendix D 11: to what the recorded peer leaves unanswered ours offers a fresh key, which it cannot have.
      expect(performance.sealedOtherwise).toBeLessThanOrEqual(OFFERED_FRAMES);
      expect([...performance.prefixes.keys()].every((key) => keys.has(key))).toBe(true);
      for (const [key, prefixes] of plan.prefixes) {
        const sent = performance.prefixes.get(key) ?? [];
        expect(sent.slice(0, prefixes.length)).toEqual(prefixes);
        expect(sent.length).toBeLessThanOrEqual(prefixes.length + 1);
      }
    });

    test('agrees in SYN, FIN, payload, acknowledgements and bytes, but for the rules', () => {
      const { plan, performance } = replay();
      const differences = differencesIn(plan, performance);
      expect(differences.filter(({ rule }) => rule === undefined)).toEqual([]);
      expect(performance.stillWaiting).toEqual([]);
      if (isOurs) expect(countRules(differences.map(({ rule }) => rule!))).toEqual(EXPECTED[recording.name]?.[i] ?? {});
    });

    test('sends and receives the same datagrams', () => {
      const { plan, performance } = replay();
      const sent = (passed: Plan['passed']): string[] =>
        passed
          .filter(({ isSent, packet }) => isSent && packet.protocol === PROTOCOL.datagram)
          .map(
            ({ packet }) =>
              `${packet.sourcePort} ${packet.destinationNode} ${packet.destinationPort} ${toHex(packet.payload)}`,
          );
      expect(sent(performance.passed)).toEqual(sent(plan.passed));
      const received = performance.received.datagrams.map(({ bytes }) => toHex(bytes));
      expect(received).toEqual(datagramsFor(plan, performance, keys).map(toHex));
    });

    test('tells the registry of trust what the recorded peer told it', () => {
      const asked = replay().performance.asked.map(statementOf);
      for (const told of life.questions.filter(({ request }) => ABOUT_TRUST.includes(request.type))) {
        const { type, peer } = statementOf(told.request);
        // CP 2.7: ours looks into its mailbox every 2 s; the peer's own request may lie there before ours was left.
        const isFound =
          type === 'request_handshake' && asked.some((one) => one.type === 'respond_handshake' && one.peer === peer);
        if (!isFound) expect(asked).toContainEqual(statementOf(told.request));
      }
    });
  });
});

const ABOUT_TRUST = ['request_handshake', 'respond_handshake', 'report_trust', 'revoke_trust'];

/** What a request says about trust. */
function statementOf(request: RegistryFields): { type: unknown; peer: unknown; accept: unknown } {
  return { type: request.type, peer: request.to_node_id ?? request.peer_id, accept: request.accept };
}

/** Frames in a life under keys that were offered in silence: a few pings and the stream packets that waited. */
const OFFERED_FRAMES = 16;

/** By session and life: how often which rule made a difference. A rule that spreads is a fault too. */
const EXPECTED: Readonly<Record<string, readonly Partial<Record<Rule, number>>[]>> = {
  'session-private': [{ triesDirectly: 2 }, { triesDirectly: 1 }],
  'session-restart': [
    { asksByAccepting: 4, quickAck: 1, receiverCloses: 4 },
    { receiverCloses: 1 },
    { receiverCloses: 1 },
    { strangerReset: 1 },
  ],
  'session-relay': [{ triesDirectly: 2 }, { triesDirectly: 1 }],
};

function countRules(rules: readonly Rule[]): Partial<Record<Rule, number>> {
  const counts: Partial<Record<Rule, number>> = {};
  for (const rule of rules) counts[rule] = (counts[rule] ?? 0) + 1;
  return counts;
}

test.runIf(isOurs)('the recorded sessions show what is to be replayed', () => {
  const plans = RECORDINGS.flatMap((recording) => recording.lives.map((life) => planOf(recording, life)));
  expect(plans.length).toBe(10);
  const count = (type: string): number =>
    plans.flatMap(({ calls }) => calls).filter((call) => call.type === type).length;
  expect(count('dial')).toBe(54);
  expect(count('datagram')).toBe(422);
  expect(count('requestTrust')).toBeGreaterThan(6);
});
