// UDP sockets as the contract of a host wants them.
import type { HostPort, UdpHandler, UdpSocket } from '../../../src/carrier/host.ts';
import { bytesOf, closers, fails, host, LOOPBACK, same, step, textOf, turn, until } from './step.ts';

/** A handler that writes down what it hears. */
export class Ear implements UdpHandler {
  readonly heard: { text: string; from: HostPort }[] = [];
  readonly tokens: number[] = [];
  readonly lost: (HostPort | undefined)[] = [];
  socket!: UdpSocket;

  static async bind(address?: string, port = 0): Promise<Ear> {
    const ear = new Ear();
    ear.socket = await host.bindUdp({ port, handler: ear, ...(address === undefined ? {} : { host: address }) });
    closers.push(() => ear.socket.close());
    return ear;
  }

  datagram(bytes: Uint8Array, from: HostPort): void {
    this.heard.push({ text: textOf(bytes), from });
  }

  released(token: number): void {
    this.tokens.push(token);
  }

  unreachable(to: HostPort | undefined): void {
    this.lost.push(to);
  }
}

/** All steps. */
export async function udp(): Promise<void> {
  await lending();
  await badDestinations();
  await endings();
}

async function lending(): Promise<void> {
  await step('a socket without host talks to both families and names IPv4 plainly', async () => {
    const both = await Ear.bind();
    const [four, six] = [await Ear.bind(LOOPBACK), await Ear.bind('::1')];
    four.socket.send(bytesOf('four'), { host: LOOPBACK, port: both.socket.local.port }, 0);
    await until(() => both.heard.length === 1);
    six.socket.send(bytesOf('six'), { host: '::1', port: both.socket.local.port }, 0);
    await until(() => both.heard.length === 2);
    same(both.heard, [
      { text: 'four', from: { host: LOOPBACK, port: four.socket.local.port, ...address(both, 0) } },
      { text: 'six', from: { host: '::1', port: six.socket.local.port, ...address(both, 1) } },
    ]);
    both.socket.send(bytesOf('to four'), both.heard[0]!.from, 1);
    both.socket.send(bytesOf('to six'), both.heard[1]!.from, 2);
    await until(() => four.heard.length === 1 && six.heard.length === 1);
    same(both.lost, []);
  });
  await step('every token comes back once', async () => {
    const ear = await Ear.bind();
    const to = { host: LOOPBACK, port: ear.socket.local.port };
    for (let round = 1; round <= 3; round++) {
      for (let token = 0; token < 64; token++) ear.socket.send(bytesOf('x'), to, token);
      await until(() => ear.tokens.length >= 64 * round);
    }
    await turn();
    same(ear.tokens.sort((a, b) => a - b).join(), Array.from({ length: 192 }, (_, i) => Math.floor(i / 3)).join());
  });
  await step('what is released may be overwritten, and token -1 at once', async () => {
    const ear = await Ear.bind(LOOPBACK);
    const memory = new Uint8Array(new WebAssembly.Memory({ initial: 4, maximum: 4 }).buffer);
    const copied = bytesOf('copied');
    ear.socket.send(copied, ear.socket.local, -1);
    copied.fill(0x78);
    for (let token = 0; token < 32; token++) {
      const slot = memory.subarray(token * 1500, token * 1500 + 1400);
      slot.fill(0x61 + (token % 20));
      ear.socket.send(slot, ear.socket.local, token);
    }
    await until(() => {
      for (const token of ear.tokens) memory.fill(0x78, token * 1500, token * 1500 + 1400);
      return ear.heard.length === 33;
    });
    same(ear.tokens.length, 32);
    same(ear.heard.filter(({ text }) => text.includes('x')).length, 0);
  });
}

/** A sender carries the address as the kernel wrote it, which is the binding's affair. */
function address(ear: Ear, at: number): object {
  const { host: _host, port: _port, ...rest } = ear.heard[at]!.from;
  return rest;
}

async function badDestinations(): Promise<void> {
  const bad: [string, HostPort, number][] = [
    [LOOPBACK, { host: '::1', port: 9 }, 10],
    ['::1', { host: LOOPBACK, port: 9 }, 10],
    [LOOPBACK, { host: 'localhost', port: 9 }, 10],
    [LOOPBACK, { host: '', port: 9 }, 10],
    [LOOPBACK, { host: LOOPBACK, port: 0 }, 10],
    [LOOPBACK, { host: LOOPBACK, port: 65_536 }, 10],
    [LOOPBACK, { host: LOOPBACK, port: 9 }, 70_000],
  ];
  for (const [bound, to, length] of bad) {
    await step(`from ${bound}: ${to.host} port ${to.port}, ${length} bytes is unreachable`, async () => {
      const ear = await Ear.bind(bound);
      ear.socket.send(new Uint8Array(length), to, 5);
      await until(() => ear.tokens.length > 0);
      await turn();
      same([ear.tokens, ear.lost], [[5], [to]]);
    });
  }
}

async function endings(): Promise<void> {
  await step('a closed port costs no later datagram', async () => {
    const ear = await Ear.bind(LOOPBACK);
    const closed = await Ear.bind(LOOPBACK);
    closed.socket.close();
    for (let token = 0; token < 8; token++) {
      ear.socket.send(bytesOf('x'), closed.socket.local, token);
      await turn();
      ear.socket.send(bytesOf('y'), ear.socket.local, token + 8);
    }
    await until(() => ear.heard.length === 8 && ear.tokens.length === 16);
  });
  await step('close() gives tokens back and is silent, twice too', async () => {
    const ear = await Ear.bind(LOOPBACK);
    for (let token = 0; token < 64; token++) ear.socket.send(bytesOf('x'), ear.socket.local, token);
    ear.socket.close();
    ear.socket.close();
    ear.socket.send(bytesOf('late'), { host: LOOPBACK, port: 9 }, 64);
    await until(() => ear.tokens.length >= 65);
    await turn();
    same([new Set(ear.tokens).size, ear.tokens.length, ear.lost.length], [65, 65, 0]);
  });
  await step('the largest datagram arrives whole', async () => {
    const ear = await Ear.bind(LOOPBACK);
    ear.socket.send(new Uint8Array(65_507).fill(0x61), ear.socket.local, 0);
    await until(() => ear.heard.length === 1);
    same(ear.heard[0]!.text.length, 65_507);
  });
  await step('what cannot be bound says why', async () => {
    const [any, four] = [await Ear.bind(), await Ear.bind(LOOPBACK)];
    await fails('PORT_IN_USE', () => Ear.bind(undefined, any.socket.local.port));
    await fails('PORT_IN_USE', () => Ear.bind(LOOPBACK, four.socket.local.port));
    await fails('ADDRESS_INVALID', () => Ear.bind('example.org'));
    await fails('UNREACHABLE', () => Ear.bind('192.0.2.1'));
  });
}
