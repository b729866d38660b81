/** F1 to F4: echo, one-way messages, bulk and dial, between two processes. */
import type { Pairing } from './arena.ts';
import type { Effort, Race } from './race.ts';

/** The other way round than what is compared: messages through a broker, and datagrams that nobody repeats. */
export const PEERS: readonly string[] = ['tls', 'wss', 'nats', 'redis', 'mqtt', 'udx', 'libp2p', 'grpc', 'floor'];
const DIALLED = ['tls', 'wss', 'udx'];
const MESSAGE_BYTES = 1024;
const BULK_BYTES = 65_536;
const ECHO_BYTES = { '64': 64, '1K': 1024 };
/** Milliseconds of echoes that make everybody warm. */
const WARM_MS = 600;
/** Bytes to begin with, while nobody knows how long they take. */
const FIRST_BYTES = 1 << 20;
const MOST_BYTES = 1 << 30;

/** @param suffix - Of the names: where it is measured. */
export function streamRaces(subjects: readonly string[], suffix: string, effort: Effort): Race[] {
  const all = { subjects, peers: PEERS };
  const echoes = Object.entries(ECHO_BYTES).map(
    ([name, bytes]): Race => ({
      ...all,
      name: `F1 ${name}${suffix}`,
      measure: { unit: 'µs', better: 'lower' },
      warmUp: ({ client }) => client.ask('echo', { pair: 0, bytes, ms: WARM_MS }),
      run: ({ client }) => client.ask('echo', { pair: 0, bytes, ms: effort.sampleMs / 2 }),
    }),
  );
  const messages = sinkRace({ ...all, name: `F2 1K${suffix}` }, MESSAGE_BYTES, effort);
  const bulk = sinkRace({ ...all, name: `F3 bulk${suffix}` }, BULK_BYTES, effort);
  const dials = { subjects, peers: DIALLED, measure: { unit: 'ms', better: 'lower' } as const };
  const { dials: times, coldDials } = effort;
  const warm: Race = {
    ...dials,
    name: `F4 warm${suffix}`,
    run: ({ client }) => client.ask('dial', { pair: 0, times }),
  };
  const cold: Race = {
    ...dials,
    name: `F4 cold${suffix}`,
    run: ({ client, name }) =>
      // For those who have no other way to open a channel, the first is as any.
      subjects.includes(name)
        ? client.ask('coldDial', { pair: 0, times: coldDials })
        : client.ask('dial', { pair: 0, times }),
  };
  return [...echoes, messages, bulk, warm, cold];
}

type Named = Pick<Race, 'name' | 'subjects' | 'peers'>;

/** Messages as fast as they go, as many as take the time of a sample. */
function sinkRace(named: Named, bytes: number, { sampleMs }: Effort): Race {
  const counts = new Map<Pairing, number>();
  const isBulk = bytes === BULK_BYTES;
  const send = async (pairing: Pairing, messages: number): Promise<{ bytes: number; ms: number }> => {
    const account = await pairing.client.ask('sink', { pair: 0, bytes, messages });
    // The next round takes as long as it shall, whatever became faster or slower since.
    const fitting = Math.ceil(messages * Math.min(sampleMs / account.ms, 8));
    counts.set(pairing, Math.max(16, Math.min(fitting, MOST_BYTES / bytes)));
    return account;
  };
  return {
    ...named,
    measure: { unit: isBulk ? 'MB/s' : 'k/s', better: 'higher' },
    async warmUp(pairing) {
      let messages = FIRST_BYTES / bytes;
      for (let i = 0; i < 5; i++) {
        await send(pairing, messages);
        messages = counts.get(pairing)!;
      }
    },
    async run(pairing) {
      const account = await send(pairing, counts.get(pairing)!);
      return [account.bytes / account.ms / (isBulk ? 1000 : bytes)];
    },
  };
}
