/**
 * Ours: the package as it is built in dist/, agents that trust each other, default limits. The rendezvous is in the server's
 * process, and its work part of the server's.
 */

import type * as Package from '../../bindings/node/index.ts';
import type { Agent, Connection } from '../../bindings/node/index.ts';
import type * as Server from '../../bindings/node/server.ts';
import { type Channel, type Client, type Contestant, Gate, type Place, type ServiceAddress } from './channel.ts';

/** Ways to run the package. `mark` fits what an agent says of itself when it runs so. */
export const VARIANTS: readonly Variant[] = [
  { name: 'js', env: { PILOTWIRE_ADDON: '0' } },
  { name: 'addon', env: { PILOTWIRE_ADDON: '' }, mark: /^node \S+ addon/ },
];

/** One of them. */
export interface Variant {
  readonly name: string;
  /** Of the processes that it runs in. */
  readonly env: Readonly<Record<string, string>>;
  readonly mark?: RegExp;
}

const PORT = 1000;
/** Writes that may wait for their turn: enough to fill the send buffer in one turn. */
const WRITES = 64;

/** Makes it. */
export function subject(): Contestant {
  let rendezvous: Promise<string> | undefined;
  return {
    serve: async (place, accept) => {
      if (place.rendezvous === undefined) rendezvous ??= startRendezvous(place);
      const url = place.rendezvous ?? (await rendezvous!);
      const hostname = `server-${place.pair}`;
      // Public: a dial that is the first contact has nobody to approve it. The others ask for trust, and get it.
      const options = { hostname, autoApprove: true, visibility: 'public' } as const;
      const agent = await started(place, url, options);
      void accepting(agent, accept);
      const { host, engine } = agent.stats();
      return { address: `${url} ${hostname} ${agent.nodeId}`, facts: `${host}, ${engine}` };
    },
    connect,
  };
}

async function connect(place: Place, address: ServiceAddress): Promise<Client> {
  const [url, hostname, nodeId] = String(address).split(' ') as [string, string, string];
  const agent = await started(place, url, {});
  await agent.trust.request(nodeId, 'to be measured');
  await agent.trust.wait(nodeId);
  let stranger: Agent | undefined;
  return {
    open: async () => channelOf(await agent.dial(`${hostname}:${PORT}`)),
    cold: {
      prepare: async () => {
        stranger = await started(place, url, {});
      },
      open: async () => channelOf(await stranger!.dial(`${hostname}:${PORT}`)),
      clean: async () => {
        await stranger!.close();
      },
    },
  };
}

async function load<T>(file: string): Promise<T> {
  return (await import(new URL(`../${file}`, import.meta.url).href)) as T;
}

async function startRendezvous({ host }: Place): Promise<string> {
  const { serveRendezvous } = await load<typeof Server>('server.js');
  return (await serveRendezvous({ listenHost: host, advertiseHost: host })).url;
}

/** Starts one agent. */
export async function started(
  { isLoopback, host }: Place,
  rendezvous: string,
  options: Partial<Package.ProcessAgentOptions>,
): Promise<Agent> {
  const { Agent } = await load<typeof Package>('index.js');
  const where = isLoopback ? { listenHost: host } : { insecure: true };
  return await Agent.start({ rendezvous, echo: false, ...where, ...options });
}

async function accepting(agent: Agent, accept: (channel: Channel) => void): Promise<void> {
  for await (const connection of agent.listen(PORT)) accept(channelOf(connection));
}

function channelOf(connection: Connection): Channel {
  const writer = connection.writable.getWriter();
  const gate = new Gate();
  let waiting = 0;
  const written = (): void => {
    waiting--;
    if (waiting < WRITES / 2) gate.open();
  };
  const channel: Channel = {
    send(bytes) {
      waiting++;
      writer.write(bytes).then(written, written);
      return waiting < WRITES ? undefined : gate.wait();
    },
    onData: () => {},
    close: () => connection.abort(),
  };
  void (async () => {
    try {
      for await (const bytes of connection.readable) channel.onData(bytes);
    } catch {
      // Aborted: nobody reads any more.
    }
  })();
  return channel;
}
