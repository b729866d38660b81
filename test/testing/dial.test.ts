import { expect, test } from 'vitest';
import { dial, listen, Side, world } from './rig.ts';

test('a link opens after a round trip, and its listener sees the dialler', async () => {
  const w = world();
  w.nat('home', { address: '198.51.100.1' });
  const server = w.host('server', { address: '203.0.113.1' });
  const port = await listen(server, 9000);
  const near = dial(w.host('near'), '203.0.113.1', 9000);
  const far = dial(w.host('far', { behind: 'home', line: { delayMs: 3 } }), 'server', 9000);
  await w.run(10);
  expect([near.log, port.sides[0]!.log]).toEqual([[], ['open']]);
  await w.run(20);
  expect([near.log, far.log]).toEqual([['open'], []]);
  await w.run(26);
  expect(far.log).toEqual(['open']);
  expect(port.remotes.map(({ host }) => host)).toEqual([w.host('near').address, '198.51.100.1']);
  expect(new Set(port.remotes.map((remote) => remote.port)).size).toBe(2);
});

test('a dial fails with a code: nobody listens, nobody is there, no such name', async () => {
  const w = world();
  w.host('server');
  w.nat('home');
  w.host('hidden', { behind: 'home', address: '192.168.1.9' });
  const client = w.host('client');
  const [refused, name] = [dial(client, 'server', 9000), dial(client, 'nowhere', 9000)];
  const lost = ['203.0.113.99', 'home', '192.168.1.9'].map((host) => dial(client, host, 9000));
  await w.elapse(20);
  expect([refused.log, name.log]).toEqual([['closed RENDEZVOUS_UNREACHABLE'], ['closed RENDEZVOUS_UNREACHABLE']]);
  expect(lost.flatMap(({ log }) => log)).toEqual([]);
  await w.run(5_000);
  expect(lost.map(({ log }) => log)).toEqual(Array(3).fill(['closed RENDEZVOUS_UNREACHABLE']));
  w.assertQuiet();
});

test('a dial succeeds when the way opens within 5 s', async () => {
  const w = world();
  await listen(w.host('server'), 9000);
  const host = w.host('client');
  w.block('client', 'server');
  const client = dial(host, 'server', 9000);
  await w.run(2_500);
  w.unblock('client', 'server');
  await w.run(3_019);
  expect(client.log).toEqual([]);
  await w.run(3_020);
  expect(client.log).toEqual(['open']);
});

test('a first packet that meets a blocked way goes out again', async () => {
  const w = world();
  await listen(w.host('server'), 9000);
  const client = dial(w.host('client'), 'server', 9000);
  await w.run(2);
  w.block('client', 'server');
  await w.run(500);
  w.unblock('client', 'server');
  await w.run(1_100);
  expect(client.log).toEqual(['open']);
});

test('TLS takes a round trip more, compares registered pins, and serves plaintext on the same port', async () => {
  const w = world();
  w.registerCertificate('certificate', 'aa11');
  const options = { host: '0.0.0.0', tls: { certificate: 'certificate', key: 'key' } };
  const sides: Side[] = [];
  const accept = (): Side => {
    sides.push(new Side());
    return sides.at(-1)!;
  };
  await w.host('server').listenLink({ ...options, port: 1 }, accept);
  await w.host('server').listenLink({ ...options, port: 2, tls: { certificate: 'unknown', key: 'key' } }, accept);
  await w.host('server').listenLink({ host: '0.0.0.0', port: 3 }, accept);
  const secure = (port: number, pin?: string): Side => {
    const side = new Side();
    const tls = { serverName: 'server', ...(pin === undefined ? {} : { pin }) };
    w.host('client').connectLink({ host: 'server', port, tls }, side);
    return side;
  };
  const good = [secure(1, 'aa11'), secure(1), secure(2, 'bb22')];
  const [wrong, plain] = [secure(1, 'bb22'), dial(w.host('client'), 'server', 1)];
  const noTls = secure(3);
  await w.elapse(20);
  expect(good.flatMap(({ log }) => log)).toEqual([]);
  expect([wrong.log, plain.log, noTls.log]).toEqual([
    ['closed TLS_PIN_MISMATCH'],
    ['open'],
    ['closed RENDEZVOUS_UNREACHABLE'],
  ]);
  await w.elapse(20);
  expect(good.map(({ log }) => log)).toEqual([['open'], ['open'], ['open']]);
  expect(sides).toHaveLength(4);
});

test('what ends during a TLS handshake is not opened', async () => {
  const w = world();
  const sides: Side[] = [];
  const accept = (): Side => {
    sides.push(new Side());
    return sides.at(-1)!;
  };
  const options = { host: '0.0.0.0', tls: { certificate: 'certificate', key: 'key' } };
  const server = await w.host('server').listenLink({ ...options, port: 1 }, accept);
  await w.host('server').listenLink({ ...options, port: 2 }, accept);
  const clients = [1, 2].map((port) => {
    const side = new Side();
    side.link = w.host('client').connectLink({ host: 'server', port, tls: { serverName: 'server' } }, side);
    return side;
  });
  await w.run(15);
  await server.close();
  clients[1]!.link.destroy();
  await w.run(6_000);
  expect(sides).toEqual([]);
  expect(clients.map(({ log }) => log)).toEqual([['closed RENDEZVOUS_UNREACHABLE'], ['closed']]);
});
