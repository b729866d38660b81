// Byte links as the contract of a host wants them, in plaintext and over TLS, on one port.
import { createHash } from 'node:crypto';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { loadOrCreateCertificate } from '../../../bindings/node/tls.ts';
import type { Link, LinkHandler, LinkServer, LinkTarget } from '../../../src/carrier/host.ts';
import { bytesOf, closers, directory, fails, host, LOOPBACK, same, step, turn, until } from './step.ts';

const MIB = 1 << 20;

/** A handler that writes down what it hears. */
export class End implements LinkHandler {
  readonly calls: string[] = [];
  readonly hash = createHash('sha256');
  length = 0;
  error: { code?: string } | undefined;
  link!: Link;

  open(): void {
    this.calls.push('open');
  }

  data(bytes: Uint8Array): void {
    this.hash.update(bytes);
    this.length += bytes.length;
    if (this.calls.at(-1) !== 'data') this.calls.push('data');
  }

  drain(): void {
    this.calls.push('drain');
  }

  closed(error?: Error): void {
    this.error = error as { code?: string } | undefined;
    this.calls.push('closed');
  }
}

export function dial(target: LinkTarget): End {
  const end = new End();
  end.link = host.connectLink(target, end);
  closers.push(() => end.link.destroy());
  return end;
}

/** A server on a free port, and the far ends that it accepted. */
interface Served {
  readonly server: LinkServer;
  readonly ends: End[];
  pinned(pin: string): LinkTarget;
}

/** All steps. */
export async function links(): Promise<void> {
  const tls = await loadOrCreateCertificate(host.files, join(directory, 'tls'));
  const ends: End[] = [];
  const server = await host.listenLink({ host: LOOPBACK, port: 0, tls }, (link) => {
    const end = new End();
    end.link = link;
    ends.push(end);
    return end;
  });
  const pinned = (pin: string): LinkTarget => ({ ...server.local, tls: { serverName: 'localhost', pin } });
  const served: Served = { server, ends, pinned };
  await carrying('plaintext', server.local, served);
  await carrying('TLS', pinned(tls.pin), served);
  await refusing(served);
  await server.close();
}

async function carrying(name: string, target: LinkTarget, { ends }: Served): Promise<void> {
  const accepted = async (): Promise<End> => {
    await until(() => ends.length > 0);
    return ends.shift()!;
  };
  await step(`${name}: 8 MiB each way, with a full buffer in between, and an end in order`, async () => {
    const near = dial(target);
    near.link.write(bytesOf('before open'));
    const far = await accepted();
    await until(() => far.length === 11 && near.calls.includes('open'));
    const sent = createHash('sha256').update('before open');
    let isFull = false;
    for (let i = 0; i < 8; i++) {
      const chunk = new Uint8Array(MIB).fill(i);
      sent.update(chunk);
      isFull = !near.link.write(chunk) || isFull;
      far.link.write(chunk);
      // The caller may write over it as soon as the call returned.
      chunk.fill(0xff);
    }
    await until(() => far.length === 8 * MIB + 11 && near.length === 8 * MIB && near.calls.includes('drain'));
    same(far.hash.digest('hex'), sent.digest('hex'));
    same([isFull, near.calls[0], far.calls[0]], [true, 'open', 'open']);
    near.link.close();
    await until(() => near.calls.includes('closed') && far.calls.includes('closed'));
    same([near.error, far.error, near.calls.at(-1), far.calls.at(-1)], [undefined, undefined, 'closed', 'closed']);
  });
  await step(`${name}: what is written just before close() arrives`, async () => {
    const near = dial(target);
    near.link.write(bytesOf('x'));
    const far = await accepted();
    await until(() => near.calls.includes('open'));
    far.link.write(new Uint8Array(100_000));
    far.link.close();
    await until(() => near.calls.includes('closed'));
    same([near.length, near.error], [100_000, undefined]);
  });
  await step(`${name}: destroy() ends the other side`, async () => {
    const near = dial(target);
    near.link.write(bytesOf('x'));
    const far = await accepted();
    await until(() => far.length === 1);
    near.link.destroy();
    await until(() => far.calls.includes('closed') && near.calls.includes('closed'));
    same(far.calls.at(-1), 'closed');
  });
}

async function refusing({ server, ends, pinned }: Served): Promise<void> {
  await step('another pin is TLS_PIN_MISMATCH, and nothing was written to that server', async () => {
    const near = dial(pinned('0'.repeat(64)));
    near.link.write(bytesOf('secret'));
    await until(() => near.calls.includes('closed'));
    same([near.error?.code, near.calls], ['TLS_PIN_MISMATCH', ['closed']]);
    await turn();
    same(
      ends
        .splice(0)
        .map(({ length }) => length)
        .filter((length) => length > 0),
      [],
    );
  });
  await step('a certificate that the system does not trust is refused', async () => {
    const near = dial({ ...server.local, tls: { serverName: 'localhost' } });
    await until(() => near.calls.includes('closed'));
    same([near.error?.code, near.calls], ['RENDEZVOUS_UNREACHABLE', ['closed']]);
    ends.length = 0;
  });
  await step('TLS below 1.3 and nonsense behind the first byte do not reach accept()', async () => {
    const near = dial(server.local);
    near.link.write(new Uint8Array([0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5]));
    await until(() => near.calls.includes('closed'));
    same(ends.length, 0);
  });
  await step('nobody listens: RENDEZVOUS_UNREACHABLE', async () => {
    const probe = createServer().listen(0, LOOPBACK);
    await new Promise((resolve) => probe.once('listening', resolve));
    const { port } = probe.address() as { port: number };
    await new Promise((resolve) => probe.close(resolve));
    const near = dial({ host: LOOPBACK, port });
    await until(() => near.calls.includes('closed'));
    same([near.error?.code, near.calls], ['RENDEZVOUS_UNREACHABLE', ['closed']]);
  });
  await step('a taken TCP port is PORT_IN_USE', () =>
    fails('PORT_IN_USE', () => host.listenLink({ host: LOOPBACK, port: server.local.port }, () => new End())),
  );
}
