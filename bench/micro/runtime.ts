/**
 * What differs between Node, Deno and Bun, and what a run must say of where it ran; page-runtime.ts is this file's other half,
 * for a page. Peers come from the cache that `bench/install.mjs` fills; what a runtime cannot load is noted, not passed over.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus } from 'node:os';
import { pathToFileURL } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { NATIVE_FROM } from '../../src/engine/aead.ts';
import { note } from './absent.ts';

interface Globals {
  readonly Bun?: { readonly version: string; gc(isSync: boolean): void };
  readonly Deno?: { readonly version: { readonly deno: string } };
}

const { Bun, Deno } = globalThis as Globals;
const CACHE = new URL('../../.cache/bench/package.json', import.meta.url);
const fromCache = createRequire(CACHE);

/** Whether there are the modules of Node; where not, their functions are undefined. */
export const HAS_NODE: boolean = true;

export { absent, note } from './absent.ts';

/** `node 20.20.2`, `deno 2.9.6`, `bun 1.4.5`. */
export function runtimeName(): string {
  if (Bun !== undefined) return `bun ${Bun.version}`;
  return Deno === undefined ? `node ${process.versions.node}` : `deno ${Deno.version.deno}`;
}

/** From which length of packet on the engine of this runtime uses node:crypto. */
export function nativeFrom(): number {
  return NATIVE_FROM[Bun !== undefined ? 'bun' : Deno !== undefined ? 'deno' : 'node'];
}

/** Processor, cores, system. */
export function machineName(): string {
  return `${cpus()[0]?.model ?? 'unknown'} × ${availableParallelism()}, ${process.platform} ${process.arch}`;
}

/** The commit that is checked out, with a plus sign when what is measured differs from it. @param sources - Of that. */
export function commitName(sources: readonly string[]): string {
  const git = (...args: string[]): string => {
    const cwd = new URL('../..', import.meta.url);
    return execFileSync('git', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  };
  try {
    const isChanged = git('status', '--porcelain', ...sources) !== '';
    return git('rev-parse', '--short', 'HEAD') + (isChanged ? '+' : '');
  } catch {
    return 'unknown';
  }
}

/** Version of a part of the runtime, such as `openssl`. */
export function versionOf(part: string): string {
  const version = process.versions[part];
  return `${runtimeName()}${version === undefined ? '' : ` (${part} ${version})`}`;
}

/** A peer from the cache. */
export interface Peer<T> {
  readonly version: string;
  readonly module: T;
}

/** Loads a peer. @returns Undefined, and a note in `absent`, when this runtime cannot. */
export async function loadPeer<T>(packageName: string, path = ''): Promise<Peer<T> | undefined> {
  try {
    const loaded = (await import(entryOf(packageName, path).href)) as T & { default?: T };
    return { version: installedVersion(packageName), module: loaded.default ?? loaded };
  } catch (error) {
    note(packageName, error);
    return undefined;
  }
}

/** The file of a package that is to be imported. */
function entryOf(packageName: string, path: string): URL {
  try {
    return pathToFileURL(fromCache.resolve(packageName + path));
  } catch (error) {
    // `resolve` is CommonJS's own, and some packages are not for it.
    const entry = path === '' ? manifestOf(packageName).exports?.['.']?.import : undefined;
    if (entry === undefined) throw error;
    return new URL(entry, folderOf(packageName));
  }
}

/** Collects garbage, all of it, where the runtime lets us. */
export function collectGarbage(): void {
  if (Bun !== undefined) {
    Bun.gc(true);
    return;
  }
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

/** Bytes of the heap that are in use. */
export function heapUsed(): number {
  return process.memoryUsage().heapUsed;
}

/** A copy of bytes as a socket hands them over: a Buffer. */
export function received(bytes: Uint8Array): Uint8Array {
  return Buffer.from(bytes);
}

function installedVersion(packageName: string): string {
  return manifestOf(packageName).version;
}

interface Manifest {
  readonly version: string;
  readonly exports?: { readonly '.'?: { readonly import?: string } };
}

function manifestOf(packageName: string): Manifest {
  return JSON.parse(readFileSync(new URL('package.json', folderOf(packageName)), 'utf8')) as Manifest;
}

function folderOf(packageName: string): URL {
  return new URL(`node_modules/${packageName}/`, CACHE);
}
