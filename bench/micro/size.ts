/** M9: bytes of each build, as they are and as brotli sends them. */
import { brotliCompressSync } from 'node:zlib';
import { RELAXED, SIMD } from '../../src/engine/binary.ts';
import { type Measurement, once, withTarget } from './contest.ts';
import { fromBase64 } from './engines.ts';
import type { Row } from './record.ts';
import { HAS_NODE, note } from './runtime.ts';

/** All of M9. */
export function size(): Measurement[] {
  const measure = (): Row[] =>
    Object.entries({ wasm: SIMD, 'wasm-relaxed': RELAXED }).flatMap(([subject, text]) => {
      const bytes = fromBase64(text);
      const raw = row('M9 raw', subject, bytes.length);
      if (HAS_NODE) return [raw, row('M9 brotli', subject, brotliCompressSync(bytes).length)];
      note('M9 brotli', 'nothing in a page compresses by brotli');
      return [raw];
    });
  return [once(['M9 raw', 'M9 brotli'], measure)];
}

function row(name: string, subject: string, bytes: number): Row {
  return withTarget({ name, subject, unit: 'B', median: bytes, p95: bytes, better: 'lower', peers: {} });
}
