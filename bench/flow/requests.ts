/** The client's half of what is measured, over a channel whose other end is a `Reception`. */
import type { Channel } from './channel.ts';
import { ACCOUNT, HEADER, now, WHAT } from './service.ts';

/** Echoes that are announced at once. */
const ECHOES = 64;
const TICK_MS = 1;

/** What arrived, and from the first byte sent to the last received. */
export interface Account {
  readonly bytes: number;
  readonly ms: number;
}

function header(what: number, messageBytes: number, messages: number): Buffer {
  const bytes = Buffer.alloc(HEADER);
  bytes.writeUInt32BE(what, 0);
  bytes.writeUInt32BE(messageBytes, 4);
  bytes.writeDoubleBE(messages, 8);
  return bytes;
}

/** Sends a message, waits until all of it came back, and again, for so long. @returns The round trips in µs. */
export async function echo(channel: Channel, messageBytes: number, ms: number): Promise<number[]> {
  const samples: number[] = [];
  const until = now() + ms;
  while (now() < until) samples.push(...(await echoes(channel, Buffer.alloc(messageBytes, 7))));
  return samples;
}

function echoes(channel: Channel, message: Buffer): Promise<number[]> {
  return new Promise((resolve) => {
    const samples: number[] = [];
    let [missing, sentAt] = [message.length, 0];
    const next = (): void => {
      missing = message.length;
      sentAt = now();
      void channel.send(message);
    };
    channel.onData = (bytes) => {
      missing -= bytes.length;
      if (missing > 0) return;
      samples.push((now() - sentAt) * 1000);
      if (samples.length < ECHOES) next();
      else resolve(samples);
    };
    void channel.send(header(WHAT.echo, message.length, ECHOES));
    next();
  });
}

/** Sends so many messages as fast as the channel takes them. */
export async function sink(channel: Channel, messageBytes: number, messages: number): Promise<Account> {
  const account = accountOf(channel);
  const message = Buffer.alloc(messageBytes, 7);
  const startedAt = now();
  const announced = channel.send(header(WHAT.sink, messageBytes, messages));
  if (announced !== undefined) await announced;
  for (let i = 0; i < messages; i++) {
    const room = channel.send(message);
    if (room !== undefined) await room;
  }
  const { bytes, lastAt } = await account;
  return { bytes, ms: lastAt - startedAt };
}

/** Sends on several channels at a fixed rate, each message with the moment at which it was sent. */
export async function paced(
  channels: readonly Channel[],
  load: { readonly messageBytes: number; readonly perSecond: number; readonly messages: number },
): Promise<void> {
  const { messageBytes, perSecond, messages } = load;
  const accounts = channels.map(accountOf);
  for (const channel of channels) void channel.send(header(WHAT.paced, messageBytes, messages));
  const startedAt = now();
  for (let sent = 0; sent < messages; ) {
    const due = Math.min(Math.floor(((now() - startedAt) * perSecond) / 1000), messages);
    for (; sent < due; sent++) {
      for (const channel of channels) {
        const message = Buffer.alloc(messageBytes);
        message.writeDoubleBE(now(), 0);
        void channel.send(message);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  await Promise.all(accounts);
}

/** Sends for so long, whatever arrives. */
export async function flood(channel: Channel, messageBytes: number, ms: number): Promise<void> {
  const message = Buffer.alloc(messageBytes, 7);
  void channel.send(header(WHAT.flood, messageBytes, Number.MAX_SAFE_INTEGER));
  for (const until = now() + ms; now() < until; ) {
    const room = channel.send(message);
    if (room !== undefined) await Promise.race([room, new Promise((resolve) => setTimeout(resolve, ms))]);
  }
}

function accountOf(channel: Channel): Promise<{ bytes: number; lastAt: number }> {
  const account = Buffer.alloc(ACCOUNT);
  let got = 0;
  return new Promise((resolve) => {
    channel.onData = (bytes) => {
      account.set(bytes.subarray(0, ACCOUNT - got), got);
      got += bytes.length;
      if (got >= ACCOUNT) resolve({ bytes: account.readDoubleBE(0), lastAt: account.readDoubleBE(16) });
    };
  });
}
