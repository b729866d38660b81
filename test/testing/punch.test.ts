// Which pairs of NATs can be punched (DP 4.9), with peers as simple as can be: this tests the world, not the protocol.
// The expectations are those of kernels' NATs measured with real packets.
import { expect, test } from 'vitest';
import type { HostPort } from '../../src/carrier/host.ts';
import type { GatewayOptions } from '../../src/testing/topology.ts';
import type { World } from '../../src/testing/world.ts';
import { text, world } from './rig.ts';

const KINDS: Record<string, GatewayOptions | undefined> = {
  none: undefined,
  'full cone': { mapping: 'endpoint-independent', filtering: 'endpoint-independent' },
  'address-restricted': { mapping: 'endpoint-independent', filtering: 'address-dependent' },
  'port-restricted': { mapping: 'endpoint-independent', filtering: 'address-and-port-dependent' },
  symmetric: { mapping: 'address-and-port-dependent', filtering: 'address-and-port-dependent', ports: 'random' },
};
const RENDEZVOUS = { host: '203.0.113.1', port: 9001 };

/** Tells its address to the rendezvous, sends to what it is told, and to whoever it hears from. */
async function punch(w: World, name: string, nat: GatewayOptions | undefined): Promise<{ isReached: boolean }> {
  if (nat !== undefined) w.nat(`nat of ${name}`, nat);
  const host = w.host(name, nat === undefined ? {} : { behind: `nat of ${name}` });
  const state = { isReached: false };
  const socket = await host.bindUdp({
    port: 4000,
    handler: {
      datagram: (bytes, from) => {
        const message = new TextDecoder().decode(bytes);
        if (from.host === RENDEZVOUS.host) {
          const peer = JSON.parse(message) as HostPort;
          for (let i = 0; i < 3; i++) host.setTimer(i * 100, () => socket.send(text('punch'), peer, -1));
          return;
        }
        if (message === 'punch') socket.send(text('answer'), from, -1);
        state.isReached = true;
      },
      released() {},
      unreachable() {},
    },
  });
  socket.send(text('here'), RENDEZVOUS, -1);
  return state;
}

/** Tells each of two who came where the other is. */
async function introduce(w: World): Promise<void> {
  const known: HostPort[] = [];
  const socket = await w.host('rendezvous', { address: RENDEZVOUS.host }).bindUdp({
    port: RENDEZVOUS.port,
    handler: {
      datagram: (_bytes, from) => {
        known.push(from);
        const [a, b] = known;
        if (a === undefined || b === undefined) return;
        socket.send(text(JSON.stringify(b)), a, -1);
        socket.send(text(JSON.stringify(a)), b, -1);
      },
      released() {},
      unreachable() {},
    },
  });
}

const names = Object.keys(KINDS);
for (const [i, one] of names.entries()) {
  for (const other of names.slice(i)) {
    const isHopeless = other === 'symmetric' && (one === 'symmetric' || one === 'port-restricted');
    test(`${one} with ${other} ${isHopeless ? 'cannot' : 'can'} be punched`, async () => {
      for (let seed = 0; seed < 5; seed++) {
        const w = world({ seed, line: { delayMs: 10, jitterMs: 5 } });
        await introduce(w);
        const [a, b] = [await punch(w, 'a', KINDS[one]), await punch(w, 'b', KINDS[other])];
        await w.elapse(2_000);
        expect([a.isReached, b.isReached], `seed ${seed}`).toEqual([!isHopeless, !isHopeless]);
      }
    });
  }
}
