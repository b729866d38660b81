import { describe, expect, test } from 'vitest';
import type { Agent } from '../../src/api/agent.ts';
import { ANSWER_MAX, describeAgent, fitting, type InfoContext } from '../../src/ipc/info.ts';
import { Address } from '../../src/wire/address.ts';

const CONTEXT: InfoContext = { uptimeMs: 1_234.5, ports: 2, version: '1', connectionId: () => 1 };

/** What Info asks of an agent: one with many peers, the last of which has the only connection. */
function busyAgent(peers: number): Agent {
  const last = new Address(0, peers);
  const fake = {
    address: new Address(0, 1),
    nodeId: 1,
    hostname: undefined,
    publicKey: new Uint8Array(32),
    stats: () => ({ keyExchanges: 3, drops: { exchangeKeyMismatch: 2 }, bytesSent: 4, bytesReceived: 5 }),
    trust: { pending: () => [] },
    peers: () =>
      Array.from({ length: peers }, (_, i) => ({
        address: new Address(0, i + 1),
        isEncrypted: i % 2 === 0,
        isTrusted: false,
        path: i === 0 ? 'relay' : 'direct',
        reason: 'answered-directly',
      })),
    connections: () => [
      { peer: last, peerPort: 7, localPort: 50_000, stats: () => ({ bytesSent: 1, bytesReceived: 2, srtt: 3 }) },
    ],
  };
  return fake as unknown as Agent;
}

const sizeOf = (value: unknown): number => new TextEncoder().encode(JSON.stringify(value)).length;

test('Info counts what the agent has', () => {
  expect(describeAgent(busyAgent(3), CONTEXT)).toMatchObject({
    peers: 3,
    encrypted_peers: 2,
    authenticated_peers: 2,
    relay_peer_count: 1,
    connections: 1,
    bytes_sent: 4,
    bytes_recv: 5,
    tunnel_encryption_success: 3,
    tunnel_encryption_failure: 2,
    hostname: '',
    uptime_secs: 1.235,
    conn_list: [{ id: 1, local_port: 50_000, remote_addr: '0:0000.0000.0003', remote_port: 7, srtt_ms: 3 }],
  });
});

test('keys are in alphabetical order', () => {
  const keys = Object.keys(describeAgent(busyAgent(1), CONTEXT));
  expect(keys).toEqual([...keys].sort());
});

test('a list that would not fit is cut, says so, and keeps peers with connections', () => {
  const small = describeAgent(busyAgent(100), CONTEXT);
  expect(small).not.toHaveProperty('peer_list_truncated');
  const large = describeAgent(busyAgent(20_000), CONTEXT);
  expect(large.peer_list_truncated).toBe(true);
  expect(large.peers).toBe(20_000);
  expect(sizeOf(large)).toBeLessThanOrEqual(ANSWER_MAX);
  expect(sizeOf(large)).toBeGreaterThan(ANSWER_MAX * 0.9);
  expect((large.peer_list as { node_id: number }[])[0]?.node_id).toBe(20_000);
});

describe('fitting()', () => {
  test('counts bytes, not characters', () => {
    expect(fitting(['ä', 'b'], 5)).toMatchObject({ items: ['ä'], isCut: true });
    expect(fitting(['ä', 'b'], 9)).toMatchObject({ items: ['ä', 'b'], isCut: false });
    expect(fitting(['ä', 'b'], 8)).toMatchObject({ items: ['ä'], isCut: true });
  });

  test('takes nothing where nothing fits', () => {
    expect(fitting(['abc'], 2)).toEqual({ items: [], bytes: 0, isCut: true });
  });
});
