/**
 * One of the two processes of a contestant: server or client, by what the parent asks for, one request after the other.
 */

import type { Agent } from '../../bindings/node/index.ts';
import { collectGarbage } from '../micro/runtime.ts';
import type { Channel, Client, Place } from './channel.ts';
import { endProfile, startProfile } from './profile.ts';
import { echo, flood, paced, sink } from './requests.ts';
import { ROSTER } from './roster.ts';
import { now, Reception } from './service.ts';
import { started } from './subject.ts';

/** What a worker can be asked for. The client's calls go over the channel of a pair, `pair`, opened before. */
export interface Requests {
  load(options: { name: string }): Promise<{ version: string }>;
  serve(options: Place): Promise<{ address: string | number; facts: string }>;
  connect(options: Place & { address: string | number }): Promise<void>;
  open(options: { pair: number }): Promise<void>;
  close(options: { pair: number }): Promise<void>;
  echo(options: { pair: number; bytes: number; ms: number }): Promise<number[]>;
  sink(options: { pair: number; bytes: number; messages: number }): Promise<{ bytes: number; ms: number }>;
  paced(options: { pairs: number; bytes: number; perSecond: number; messages: number }): Promise<void>;
  flood(options: { pair: number; bytes: number; ms: number }): Promise<void>;
  /** Milliseconds of each. */
  dial(options: { pair: number; times: number }): Promise<number[]>;
  coldDial(options: { pair: number; times: number }): Promise<number[]>;
  /** Latencies in ms since they were asked for last. */
  latencies(): Promise<number[]>;
  /** Bytes received so far, by channel in the order of acceptance. */
  received(): Promise<number[]>;
  /** Agents that trust the server and each have a tunnel to it. */
  crowd(options: Place & { address: string; agents: number }): Promise<void>;
  /** Bytes of memory that are resident, after a collection. */
  resident(): Promise<number>;
  startProfile(): Promise<void>;
  endProfile(options: { file: string }): Promise<void>;
}

const BREATH_MS = 5;
/** Agents that start at the same time: from one address an agent takes four at a time that it has to look up. */
const AT_ONCE = 1;
/** For registration, among thousands. */
const START_MS = 120_000;
/** Strangers share budgets, so in a crowd some are not heard at first. */
const ATTEMPTS = 4;

let loaded: Awaited<ReturnType<(typeof ROSTER)[string]>> | undefined;
const clients = new Map<number, Client>();
const channels = new Map<number, Channel>();
const receptions: Reception[] = [];

const HANDLERS: {
  readonly [name in keyof Requests]: (options: Parameters<Requests[name]>[0]) => ReturnType<Requests[name]>;
} = {
  async load({ name }: { name: string }) {
    loaded = await ROSTER[name]!();
    return { version: loaded.version };
  },
  async serve(place: Place) {
    const { address, facts = '' } = await contestant().serve(place, (channel) => {
      receptions.push(new Reception(channel));
    });
    return { address, facts };
  },
  async connect({ address, ...place }: Place & { address: string | number }) {
    clients.set(place.pair, await contestant().connect(place, address));
  },
  async open({ pair }: { pair: number }) {
    channels.set(pair, await clients.get(pair)!.open());
  },
  async close({ pair }: { pair: number }) {
    channels.get(pair)?.close();
    channels.delete(pair);
  },
  echo: ({ pair, bytes, ms }) => echo(channels.get(pair)!, bytes, ms),
  sink: ({ pair, bytes, messages }) => sink(channels.get(pair)!, bytes, messages),
  paced: ({ pairs, bytes, perSecond, messages }) => {
    const all = Array.from({ length: pairs }, (_, pair) => channels.get(pair)!);
    return paced(all, { messageBytes: bytes, perSecond, messages });
  },
  flood: ({ pair, bytes, ms }) => flood(channels.get(pair)!, bytes, ms),
  dial: ({ pair, times }) => dialled(times, clients.get(pair)!),
  async coldDial({ pair, times }: { pair: number; times: number }) {
    const client = clients.get(pair)!;
    const samples: number[] = [];
    for (let i = 0; i < times; i++) {
      await client.cold?.prepare();
      samples.push(...(await dialled(1, client.cold ?? client)));
      await client.cold?.clean();
    }
    return samples;
  },
  latencies: async () => receptions.flatMap((reception) => reception.latencies.splice(0)),
  received: async () => receptions.map(({ received }) => received),
  async crowd({ address, agents, ...place }: Place & { address: string; agents: number }) {
    const [url, , nodeId] = address.split(' ') as [string, string, string];
    for (let i = 0; i < agents; i += AT_ONCE) {
      const some = Array.from({ length: Math.min(AT_ONCE, agents - i) }, async () => {
        await befriended(await started(place, url, { timeoutMs: START_MS }), nodeId);
      });
      await Promise.all(some);
    }
  },
  async resident() {
    for (let i = 0; i < 3; i++) {
      collectGarbage();
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    return process.memoryUsage.rss();
  },
  startProfile,
  endProfile,
};

async function befriended(agent: Agent, nodeId: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await agent.trust.request(nodeId, 'to be counted');
      await agent.trust.wait(nodeId);
      return;
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
    }
  }
}

function contestant() {
  if (loaded === undefined) throw new Error('nobody is loaded yet');
  return loaded.contestant;
}

/** Opens, and closes what it opened; a moment passes before the next, so that the end of one is not part of another. */
async function dialled(times: number, client: Pick<Client, 'open'>): Promise<number[]> {
  const samples: number[] = [];
  for (let i = 0; i < times; i++) {
    const startedAt = now();
    const channel = await client.open();
    samples.push(now() - startedAt);
    channel.close();
    await new Promise((resolve) => setTimeout(resolve, BREATH_MS));
  }
  return samples;
}

interface Request {
  readonly id: number;
  readonly name: keyof Requests;
  readonly options: never;
}

process.on('message', async ({ id, name, options }: Request) => {
  try {
    answer({ id, value: await HANDLERS[name](options) });
  } catch (error) {
    answer({ id, error: String((error as Error)?.message ?? error) });
  }
});
function answer(message: { id: number; value?: unknown; error?: string }): void {
  // Who does not listen any more has ended us already.
  process.send!(message, undefined, undefined, () => {});
}

// The parent is gone, or wants us gone.
process.on('disconnect', () => process.exit(0));
