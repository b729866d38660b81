/**
 * runtime.ts for a page: bench/build.mjs puts it in the other's place. Peers are bundled one by one and fetched; heap and
 * collector are there because chromium.ts starts the browser with switches for them.
 */
import { note } from './absent.ts';
import type { Peer } from './runtime.ts';

export { absent, note } from './absent.ts';

/** By path of the module; bench/build.mjs puts them there. */
declare const PAGE_PEERS: Readonly<Record<string, { version: string; url: string }>>;

interface Globals {
  readonly gc: () => void;
  readonly performance: { readonly memory: { readonly usedJSHeapSize: number } };
}

const { gc, performance: measured } = globalThis as unknown as Globals;
const RUNTIME = new URLSearchParams(location.search).get('runtime') ?? 'a page';

const HEAP_STALE_MS = 60;

export const HAS_NODE: boolean = false;

/** `chromium 156.0.8078.79`. */
export function runtimeName(): string {
  return RUNTIME;
}

/** The browser says nothing of its parts. */
export function versionOf(_part: string): string {
  return RUNTIME;
}

/** There is nothing but the engine's own. */
export function nativeFrom(): number {
  return Number.POSITIVE_INFINITY;
}

export async function loadPeer<T>(packageName: string, path = ''): Promise<Peer<T> | undefined> {
  const peer = PAGE_PEERS[packageName + path];
  if (peer === undefined) {
    note(packageName, 'not for a page');
    return undefined;
  }
  try {
    const loaded = (await import(peer.url)) as T & { default?: T };
    return { version: peer.version, module: loaded.default ?? loaded };
  } catch (error) {
    note(packageName, error);
    return undefined;
  }
}

export function collectGarbage(): void {
  gc();
}

export function heapUsed(): number {
  // The browser looks again after 50 ms. Waiting must not fill the heap, as reading the clock all the time would.
  const start = performance.now();
  for (let i = 0; performance.now() - start < HEAP_STALE_MS; ) {
    for (const end = i + 10_000_000; i < end; ) i++;
  }
  return measured.memory.usedJSHeapSize;
}

export function received(bytes: Uint8Array): Uint8Array {
  return bytes.slice();
}
