/**
 * Identities in files (CP 7.6): one directory with `identity.json`, `trust.json` and a lock. The private key goes to the
 * runtime and nowhere else. A runtime that keeps keys otherwise opens them itself (`AgentRuntime.openIdentity`).
 */
import type { Host } from '../carrier/host.ts';
import { PilotError } from '../errors.ts';
import { emitIdentity, parseIdentity } from '../wire/identity.ts';

/** An identity that is in use by this process. */
export interface OpenIdentity {
  /** Handle of the private key. */
  readonly identity: number;
  readonly publicKey: Uint8Array;
  /** Where `Files` keep its trust; undefined: nowhere. */
  readonly trustPath: string | undefined;
  readonly trustText: string | undefined;
  /** Lets others use it. */
  release(): Promise<void>;
}

const SEED_BYTES = 32;

/**
 * Opens an identity, made at first use.
 *
 * @param name - A name below `home`, or a path (with a slash) of a directory or of an `identity.json`; omitted: in memory.
 * @throws PilotError `IDENTITY_IN_USE`, `IDENTITY_INVALID`
 */
export async function openIdentity(host: Host, home: string, name: string | undefined): Promise<OpenIdentity> {
  if (name === undefined) return await createInMemory(host);
  const path = identityPath(home, name);
  const directory = path.replace(/[/\\][^/\\]*$/, '');
  const unlock = await host.files.lock(`${directory}/identity`);
  try {
    const stored = await host.files.read(path, { secret: true });
    const { identity, publicKey } = stored === undefined ? await create(host, path) : await load(host, path, stored);
    const trustPath = `${directory}/trust.json`;
    const trust = await host.files.read(trustPath, { secret: true });
    return {
      identity,
      publicKey,
      trustPath,
      trustText: trust === undefined ? undefined : new TextDecoder().decode(trust),
      release: async () => {
        host.jobs.forget(identity);
        await unlock();
      },
    };
  } catch (error) {
    await unlock();
    throw error;
  }
}

/** Where an identity's file is. @throws TypeError for a name that is no file name. */
export function identityPath(home: string, name: string): string {
  if (/[/\\]/.test(name)) return name.endsWith('.json') ? name : `${name.replace(/[/\\]$/, '')}/identity.json`;
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/.test(name)) {
    throw new TypeError(
      `Cannot use identity ${JSON.stringify(name)}: want a name of letters, digits, "_", "-" and ".", or a path`,
    );
  }
  return `${home}/${name}/identity.json`;
}

async function createInMemory(host: Host): Promise<OpenIdentity> {
  const seed = new Uint8Array(SEED_BYTES);
  host.random(seed);
  const { identity, publicKey } = await host.jobs.importIdentity(seed);
  seed.fill(0);
  const release = async (): Promise<void> => host.jobs.forget(identity);
  return { identity, publicKey, trustPath: undefined, trustText: undefined, release };
}

async function create(host: Host, path: string): Promise<{ identity: number; publicKey: Uint8Array }> {
  const seed = new Uint8Array(SEED_BYTES);
  host.random(seed);
  const made = await host.jobs.importIdentity(seed);
  const text = new TextEncoder().encode(emitIdentity(seed, made.publicKey));
  seed.fill(0);
  await host.files.writeAtomic(path, text);
  text.fill(0);
  return made;
}

async function load(
  host: Host,
  path: string,
  stored: Uint8Array,
): Promise<{ identity: number; publicKey: Uint8Array }> {
  const seed = parseIdentity(new TextDecoder().decode(stored));
  stored.fill(0);
  if (seed === undefined) {
    throw new PilotError(
      'IDENTITY_INVALID',
      `Cannot read ${path}: not an identity file, or its keys do not belong together`,
      {
        hint: 'restore it from a backup; without it the address is lost',
      },
    );
  }
  const made = await host.jobs.importIdentity(seed);
  seed.fill(0);
  return made;
}
