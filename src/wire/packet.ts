/**
 * Numbers of packets and frames: protocols, flags, magics, ports, and arithmetic on sequence numbers (DP 1.4, 2.1, 3.1,
 * 8). The engine reads and writes the bytes themselves.
 */

/** Protocol byte. */
export const PROTOCOL = { stream: 1, datagram: 2, control: 3 } as const;

/** The lower four bits of the first byte. */
export const FLAG = { SYN: 1, ACK: 2, FIN: 4, RST: 8 } as const;

/** Bytes in front of the payload. */
export const PACKET_HEADER = 34;

/** First four bytes of a frame, as a big-endian u32 (DP 3.1). */
export const MAGIC = {
  /** Plaintext packet; never sent, always dropped (DP 3.3). */
  PILT: 0x50494c54,
  /** Encrypted packet. */
  PILS: 0x50494c53,
  /** Key exchange without identity. */
  PILK: 0x50494c4b,
  /** Key exchange, signed. */
  PILA: 0x50494c41,
  /** Opens the sender's own NAT mapping: these four bytes and nothing else (DP 3.7). */
  PILP: 0x50494c50,
  /** Fragment of a side branch; never sent, always dropped (DP 3.8). */
  PILF: 0x50494c46,
} as const;

/** Ports with a meaning (DP 8). */
export const PORT = {
  ping: 0,
  control: 1,
  echo: 7,
  names: 53,
  http: 80,
  secure: 443,
  trust: 444,
  stdio: 1000,
  data: 1001,
  events: 1002,
  /** Ours: capabilities, as control packets (design: decision 6). */
  capabilities: 20567,
} as const;

/** Source ports that we choose (DP 1.5). Peers may use any (DP 5.14). */
export const EPHEMERAL_FIRST = 49152;
/** The last of them. */
export const EPHEMERAL_LAST = 65535;

/** Every node of a network ≠ 0; expanded by the sender, never on the wire (DP 5.13). */
export const BROADCAST_NODE = 0xffffffff;

/** Whether `a` comes before `b`, modulo 2^32 (DP 5.3). */
export function seqLess(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

/** How far `a` is ahead of `b`, modulo 2^32, within ±2^31. */
export function seqDiff(a: number, b: number): number {
  return (a - b) | 0;
}
