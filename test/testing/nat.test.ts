import { expect, test } from 'vitest';
import { type Dependence, Nat, type NatOptions } from '../../src/testing/nat.ts';
import { Random } from '../../src/testing/random.ts';

const EI = 'endpoint-independent';
const AD = 'address-dependent';
const APD = 'address-and-port-dependent';
/** The same remote, its other port, another host's same port, and another host's other port. */
const REMOTES = [
  { host: '203.0.113.1', port: 1000 },
  { host: '203.0.113.1', port: 2000 },
  { host: '203.0.113.2', port: 1000 },
  { host: '203.0.113.2', port: 2000 },
] as const;
const INSIDE = { host: '192.168.1.2', port: 4000 };

function nat(options: NatOptions = {}, seed = 'nat'): Nat {
  return new Nat(new Random(seed), options);
}

// RFC 4787 §4.1: which of the four remotes share the mapping of the first.
const SHARED: Record<Dependence, boolean[]> = {
  [EI]: [true, true, true, true],
  [AD]: [true, true, false, false],
  [APD]: [true, false, false, false],
};
// RFC 4787 §5: which of them may send in when only the first was sent to.
const ADMITTED: Record<Dependence, boolean[]> = {
  [EI]: [true, true, true, true],
  [AD]: [true, true, false, false],
  [APD]: [true, false, false, false],
};

for (const mapping of [EI, AD, APD] as const) {
  for (const filtering of [EI, AD, APD] as const) {
    test(`${mapping} mapping with ${filtering} filtering maps and admits what RFC 4787 says`, () => {
      for (const ports of ['preserve', 'random'] as const) {
        const one = nat({ mapping, filtering, ports });
        const first = one.outbound(0, INSIDE, REMOTES[0])!;
        expect(REMOTES.map((remote) => one.inbound(1, first, remote) === INSIDE)).toEqual(ADMITTED[filtering]);
        const outside = REMOTES.map((remote) => one.outbound(2, INSIDE, remote));
        expect(outside.map((port) => port === first)).toEqual(SHARED[mapping]);
        // Now that all were sent to, each may answer where it was sent from.
        REMOTES.forEach((remote, i) => {
          expect(one.inbound(3, outside[i]!, remote)).toEqual(INSIDE);
        });
      }
    });
  }
}

test('a refusal says whether there is no mapping or only not for this remote', () => {
  const one = nat();
  const port = one.outbound(0, INSIDE, REMOTES[0])!;
  expect(one.inbound(0, port, REMOTES[1])).toBe('natFiltered');
  expect(one.inbound(0, port + 1, REMOTES[0])).toBe('natNoMapping');
});

test('two inside endpoints never share an outside port', () => {
  for (const ports of ['preserve', 'random'] as const) {
    const one = nat({ ports });
    const outside = Array.from({ length: 100 }, (_, i) =>
      one.outbound(0, { host: `192.168.1.${i}`, port: 4000 }, REMOTES[0]),
    );
    expect(new Set(outside).size).toBe(100);
    if (ports === 'preserve') expect(outside.slice(0, 3)).toEqual([4000, 4001, 4002]);
    else expect(outside[0]).not.toBe(4000);
  }
});

test('a mapping ends 120 s after the last datagram out; what comes in does not keep it', () => {
  const one = nat({ filtering: EI });
  const port = one.outbound(0, INSIDE, REMOTES[0])!;
  expect(one.inbound(119_999, port, REMOTES[1])).toEqual(INSIDE);
  expect(one.inbound(120_000, port, REMOTES[1])).toBe('natNoMapping');
  expect(one.size).toBe(0);
  one.outbound(200_000, INSIDE, REMOTES[0]);
  one.outbound(300_000, INSIDE, REMOTES[0]);
  expect(one.inbound(419_999, port, REMOTES[1])).toEqual(INSIDE);
  expect(one.inbound(420_000, port, REMOTES[1])).toBe('natNoMapping');
});

test('with inbound refresh what comes in keeps the mapping', () => {
  const one = nat({ inboundRefresh: true, timeoutMs: 30_000 });
  const port = one.outbound(0, INSIDE, REMOTES[0])!;
  for (let now = 20_000; now <= 100_000; now += 20_000) expect(one.inbound(now, port, REMOTES[0])).toEqual(INSIDE);
  expect(one.inbound(130_000, port, REMOTES[0])).toBe('natNoMapping');
});

test('a remote that was not sent to for the timeout may not send in, though the mapping lives', () => {
  const one = nat({ timeoutMs: 30_000 });
  const port = one.outbound(0, INSIDE, REMOTES[0])!;
  one.outbound(20_000, INSIDE, REMOTES[1]);
  expect(one.inbound(30_000, port, REMOTES[0])).toBe('natFiltered');
  expect(one.inbound(30_000, port, REMOTES[1])).toEqual(INSIDE);
});

test('a NAT without a free port says so, and finds the one that becomes free', () => {
  for (const ports of ['preserve', 'random'] as const) {
    const one = nat({ ports, timeoutMs: 1_000 });
    for (let i = 0; i < 64_512; i++) one.outbound(0, { host: '10.0.0.1', port: 1_024 + i }, REMOTES[0]);
    expect(one.outbound(0, INSIDE, REMOTES[0])).toBeUndefined();
    one.outbound(999, { host: '10.0.0.1', port: 5_000 }, REMOTES[0]);
    expect(one.outbound(1_000, INSIDE, REMOTES[0])).toBeTypeOf('number');
  }
});

test('after it forgot, a NAT lets nothing in', () => {
  const one = nat();
  const port = one.outbound(0, INSIDE, REMOTES[0])!;
  one.forget();
  expect(one.inbound(0, port, REMOTES[0])).toBe('natNoMapping');
});
