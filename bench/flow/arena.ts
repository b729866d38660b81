/** Where contestants meet: this machine's loopback, or two namespaces. And the two processes of each of them. */
import { resolve } from 'node:path';
import { note } from '../micro/absent.ts';
import { BROKER_OF, type Broker, startBroker } from './brokers.ts';
import type { Place, ServiceAddress } from './channel.ts';
import { cpuSeconds } from './children.ts';
import type { Network } from './namespaces.ts';
import { VARIANTS } from './subject.ts';
import { Worker } from './worker-process.ts';

/** A place to run in. */
export interface Arena {
  readonly name: string;
  /** Undefined: loopback. */
  readonly network: Network | undefined;
  readonly certificate: string;
  readonly key: string;
  /** A folder for profiles of our own processes. */
  readonly profiles: string | undefined;
}

/** A contestant with its two processes, keys exchanged, a channel open in each pair. */
export class Pairing {
  readonly name: string;
  readonly version: string;
  readonly server: Worker;
  readonly client: Worker;
  readonly #broker: Broker | undefined;
  /** A folder, for ours. */
  readonly #profiles: string | undefined;

  private constructor(parts: {
    name: string;
    version: string;
    server: Worker;
    client: Worker;
    broker?: Broker | undefined;
    profiles: string | undefined;
  }) {
    this.name = parts.name;
    this.version = parts.version;
    this.server = parts.server;
    this.client = parts.client;
    this.#broker = parts.broker;
    this.#profiles = parts.profiles;
  }

  /** Starts one. @returns Undefined, and a note in `absent`, for one that cannot run here. */
  static async start(name: string, arena: Arena, pairs = 1): Promise<Pairing | undefined> {
    const opened: { close(): Promise<void> }[] = [];
    try {
      return await Pairing.#start({ name, arena, pairs }, opened);
    } catch (error) {
      note(arena.network === undefined ? name : `${name} in ${arena.name}`, error);
      for (const one of opened) await one.close();
      return undefined;
    }
  }

  static async #start(
    { name, arena, pairs }: { name: string; arena: Arena; pairs: number },
    opened: { close(): Promise<void> }[],
  ): Promise<Pairing> {
    const { network, certificate, key } = arena;
    const variant = VARIANTS.find((one) => one.name === name);
    const host = network?.server.host ?? '127.0.0.1';
    const kind = BROKER_OF[name];
    const broker =
      kind === undefined ? undefined : await startBroker(kind, { host, namespace: network?.server.namespace });
    if (broker !== undefined) opened.push(broker);
    const setting = { env: variant?.env ?? {} };
    const server = new Worker({ ...setting, namespace: network?.server.namespace });
    const client = new Worker({ ...setting, namespace: network?.client.namespace });
    opened.push(server, client);
    const what = { name: variant === undefined ? name : 'subject' };
    const [{ version }] = await Promise.all([server.ask('load', what), client.ask('load', what)]);
    const place = { host, isLoopback: network === undefined, certificate, key, brokerPort: broker?.port ?? 0 };
    let known = [version, broker === undefined ? '' : `server ${broker.version}`]
      .filter((part) => part !== '')
      .join(', ');
    for (let pair = 0; pair < pairs; pair++) {
      const { address, facts } = await server.ask('serve', { ...place, pair });
      if (variant?.mark?.test(facts) === false) {
        throw new Error(`this is ${facts}`);
      }
      known ||= facts;
      await joined(client, { ...place, pair }, address);
    }
    const profiles = variant === undefined ? undefined : arena.profiles;
    return new Pairing({ name, version: known, server, client, broker, profiles });
  }

  /** Seconds of processor time of all that work for this contestant. */
  cpuSeconds(): number {
    const pids = [this.server.pid, this.client.pid, ...(this.#broker === undefined ? [] : [this.#broker.pid])];
    return pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
  }

  /** Does it, and where that was asked for writes what both processes did meanwhile; the last one of a name is kept. */
  async profiled<T>(what: string, work: () => Promise<T>): Promise<T> {
    if (this.#profiles === undefined) return await work();
    const both = { server: this.server, client: this.client };
    for (const worker of Object.values(both)) await worker.ask('startProfile', undefined);
    const result = await work();
    for (const [role, worker] of Object.entries(both)) {
      const file = `${this.name} ${what} ${role}`.replace(/\W+/g, '-');
      await worker.ask('endProfile', { file: `${resolve(this.#profiles)}/${file}.cpuprofile` });
    }
    return result;
  }

  async close(): Promise<void> {
    await Promise.all([this.client.close(), this.server.close()]);
    await this.#broker?.close();
  }
}

/** A new connection: nothing is known of the path. */
export async function reopened({ client }: Pairing, pair: number): Promise<void> {
  await client.ask('close', { pair });
  await client.ask('open', { pair });
}

async function joined(client: Worker, place: Place, address: ServiceAddress): Promise<void> {
  await client.ask('connect', { ...place, address });
  await client.ask('open', { pair: place.pair });
}
