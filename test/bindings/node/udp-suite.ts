/** What every UDP socket of a process keeps: `udpSuite(name, bind)`. Files beside this run it for node:dgram and for the addon. */
import { afterEach, describe, expect, test } from 'vitest';
import type { BindUdp } from '../../../bindings/node/addresses.ts';
import type { HostPort, UdpHandler, UdpSocket } from '../../../src/carrier/host.ts';

const open: UdpSocket[] = [];

/** Closes what tests left open. */
export function closeEars(): void {
  for (const socket of open.splice(0)) socket.close();
}

/** A socket that records what its handler hears; `until` waits for the next that makes the condition true. */
export class Ear implements UdpHandler {
  readonly heard: { text: string; from: HostPort }[] = [];
  readonly released_: number[] = [];
  readonly lost: (HostPort | undefined)[] = [];
  /** How many datagrams were heard at each `turn`. */
  readonly turns: number[] = [];
  socket!: UdpSocket;
  #wake: (() => void) | undefined;

  static async bind(bind: BindUdp, host?: string, port = 0): Promise<Ear> {
    const ear = new Ear();
    ear.socket = await bind({ port, handler: ear, ...(host === undefined ? {} : { host }) }, { unref: false });
    open.push(ear.socket);
    return ear;
  }

  get port(): number {
    return this.socket.local.port;
  }

  datagram(bytes: Uint8Array, from: HostPort): void {
    this.heard.push({ text: Buffer.from(bytes).toString(), from });
    this.#wake?.();
  }

  turn(): void {
    this.turns.push(this.heard.length);
    this.#wake?.();
  }

  released(token: number): void {
    this.released_.push(token);
    this.#wake?.();
  }

  unreachable(to: HostPort | undefined): void {
    this.lost.push(to);
    this.#wake?.();
  }

  async until(isDone: () => boolean): Promise<void> {
    while (!isDone()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

export const text = (words: string): Uint8Array => new TextEncoder().encode(words);
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** @param bind - As a host does it. */
export function udpSuite(name: string, bind: BindUdp): void {
  afterEach(closeEars);

  describe(`${name}: addresses`, () => {
    test('a socket without host talks to IPv4 and IPv6, and names IPv4 senders plainly', async () => {
      const both = await Ear.bind(bind);
      const four = await Ear.bind(bind, '127.0.0.1');
      const six = await Ear.bind(bind, '::1');
      four.socket.send(text('four'), { host: '127.0.0.1', port: both.port }, 0);
      six.socket.send(text('six'), { host: '::1', port: both.port }, 0);
      await both.until(() => both.heard.length === 2);
      const from = Object.fromEntries(both.heard.map((one) => [one.text, one.from]));
      expect(from.four).toMatchObject({ host: '127.0.0.1', port: four.port });
      expect(from.six).toMatchObject({ host: '::1', port: six.port });

      both.socket.send(text('to four'), from.four!, 1);
      both.socket.send(text('to six'), from.six!, 2);
      await four.until(() => four.heard.length === 1);
      await six.until(() => six.heard.length === 1);
      expect(four.heard[0]).toMatchObject({ text: 'to four', from: { host: '127.0.0.1', port: both.port } });
      expect(six.heard[0]).toMatchObject({ text: 'to six', from: { host: '::1', port: both.port } });
      expect(both.lost).toEqual([]);
    });

    test('the local address is the one bound, with the port that the system chose', async () => {
      const ear = await Ear.bind(bind, '127.0.0.1');
      expect(ear.socket.local.host).toBe('127.0.0.1');
      expect(ear.port).toBeGreaterThan(0);
    });

    test('a taken port is PORT_IN_USE, with and without host', async () => {
      const ear = await Ear.bind(bind);
      await expect(Ear.bind(bind, undefined, ear.port)).rejects.toMatchObject({ code: 'PORT_IN_USE' });
      const four = await Ear.bind(bind, '127.0.0.1');
      await expect(Ear.bind(bind, '127.0.0.1', four.port)).rejects.toMatchObject({ code: 'PORT_IN_USE' });
    });

    test('a host that is no address is ADDRESS_INVALID, an address of another machine UNREACHABLE', async () => {
      await expect(Ear.bind(bind, 'example.org')).rejects.toMatchObject({ code: 'ADDRESS_INVALID' });
      await expect(Ear.bind(bind, '192.0.2.1')).rejects.toMatchObject({ code: 'UNREACHABLE' });
    });

    test('two datagrams of one sender come with the same object', async () => {
      const ear = await Ear.bind(bind, '127.0.0.1');
      const other = await Ear.bind(bind, '127.0.0.1');
      for (const token of [0, 1]) other.socket.send(text('x'), ear.socket.local, token);
      await ear.until(() => ear.heard.length === 2);
      expect(ear.heard[0]!.from).toBe(ear.heard[1]!.from);
    });
  });

  describe(`${name}: lent bytes`, () => {
    test('every token is released once, also when it is used again', async () => {
      const ear = await Ear.bind(bind);
      const to = { host: '127.0.0.1', port: ear.port };
      for (let round = 0; round < 3; round++) {
        for (let token = 0; token < 64; token++) ear.socket.send(text('x'), to, token);
        await ear.until(() => ear.released_.length === 64 * (round + 1));
      }
      await turn();
      expect(ear.released_).toHaveLength(192);
      for (let token = 0; token < 64; token++) {
        expect(ear.released_.filter((one) => one === token)).toHaveLength(3);
      }
    });

    test.each([
      ['an IPv6 address on an IPv4 socket', '127.0.0.1', { host: '::1', port: 9 }, 10],
      ['an IPv4 address on a socket bound to ::1', '::1', { host: '127.0.0.1', port: 9 }, 10],
      ['a host name', '127.0.0.1', { host: 'localhost', port: 9 }, 10],
      ['an empty host', '127.0.0.1', { host: '', port: 9 }, 10],
      ['port 0', '127.0.0.1', { host: '127.0.0.1', port: 0 }, 10],
      ['port 65536', '127.0.0.1', { host: '127.0.0.1', port: 65_536 }, 10],
      ['more bytes than UDP carries', '127.0.0.1', { host: '127.0.0.1', port: 9 }, 70_000],
    ])('%s is unreachable, and the token comes back once', async (_what, host, to, length) => {
      const ear = await Ear.bind(bind, host);
      ear.socket.send(new Uint8Array(length), to, 5);
      await ear.until(() => ear.released_.length > 0);
      await turn();
      expect(ear.released_).toEqual([5]);
      expect(ear.lost).toEqual([to]);
    });

    test('nobody is told about token -1', async () => {
      const ear = await Ear.bind(bind, '127.0.0.1');
      ear.socket.send(text('copied'), ear.socket.local, -1);
      ear.socket.send(text('lost'), { host: '127.0.0.1', port: 0 }, -1);
      await ear.until(() => ear.heard.length === 1 && ear.lost.length === 1);
      await turn();
      expect(ear.released_).toEqual([]);
    });

    test('send() after close() gives the token back and is silent', async () => {
      const ear = await Ear.bind(bind, '127.0.0.1');
      ear.socket.close();
      ear.socket.close();
      ear.socket.send(text('late'), { host: '127.0.0.1', port: 9 }, 7);
      await turn();
      expect(ear.released_).toEqual([7]);
      expect(ear.lost).toEqual([]);
    });
  });
}
