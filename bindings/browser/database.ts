/**
 * What a browser keeps for an origin: files and identities in IndexedDB, and locks between its pages and workers (Web
 * Locks). Both end at the origin; neither leaves the machine.
 */
import type { Files } from '../../src/carrier/host.ts';
import type { Millis } from '../../src/config.ts';
import { PilotError } from '../../src/errors.ts';
import type { KeptIdentity } from './keys.ts';

const NAME = 'pilotwire';
const VERSION = 1;
const FILES = 'files';
const IDENTITIES = 'identities';
const HINT = 'a page needs https:// or localhost, and leave to store; without a name the key stays in memory';

/** How to take a lock. */
export interface LockOptions {
  /** A page that is reloaded may find its own lock still held by what it was. */
  readonly patienceMs: Millis;
}

/** The store of one origin. */
export class BrowserDatabase implements Files {
  #open: Promise<IDBDatabase> | undefined;

  /** Whether there is one, as far as can be told without asking it. */
  get isThere(): boolean {
    return 'indexedDB' in globalThis && 'locks' in navigator;
  }

  async read(path: string): Promise<Uint8Array | undefined> {
    return (await this.#run(FILES, 'readonly', (store) => store.get(path))) as Uint8Array | undefined;
  }

  async writeAtomic(path: string, bytes: Uint8Array): Promise<void> {
    const copy = bytes.slice();
    await this.#run(FILES, 'readwrite', (store) => store.put(copy, path));
  }

  async readIdentity(name: string): Promise<KeptIdentity | undefined> {
    return (await this.#run(IDENTITIES, 'readonly', (store) => store.get(name))) as KeptIdentity | undefined;
  }

  async writeIdentity(name: string, kept: KeptIdentity): Promise<void> {
    await this.#run(IDENTITIES, 'readwrite', (store) => store.put(kept, name));
  }

  async lock(path: string, { patienceMs }: LockOptions = { patienceMs: 0 }): Promise<() => Promise<void>> {
    if (!this.isThere) throw noStore();
    return await new Promise((resolve, reject) => {
      const how = patienceMs > 0 ? { signal: AbortSignal.timeout(patienceMs) } : { ifAvailable: true };
      const held = navigator.locks.request(`${NAME}:${path}`, how, (lock) => {
        if (lock === null) throw inUse(path);
        return new Promise<void>((release) => {
          resolve(async () => {
            release();
            await held;
          });
        });
      });
      held.catch((error: Error) => reject(error.name === 'TimeoutError' ? inUse(path) : error));
    });
  }

  /** One operation in a transaction of its own; resolves when what it wrote is on the disk. */
  async #run(
    store: string,
    mode: IDBTransactionMode,
    operate: (store: IDBObjectStore) => IDBRequest,
  ): Promise<unknown> {
    const database = await this.#database();
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(store, mode, { durability: 'strict' });
      const request = operate(transaction.objectStore(store));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(noStore(transaction.error));
    });
  }

  #database(): Promise<IDBDatabase> {
    if (!this.isThere) return Promise.reject(noStore());
    this.#open ??= new Promise((resolve, reject) => {
      const request = indexedDB.open(NAME, VERSION);
      request.onupgradeneeded = () => {
        request.result.createObjectStore(FILES);
        request.result.createObjectStore(IDENTITIES);
      };
      request.onsuccess = () => {
        const database = request.result;
        // A newer version in another tab waits for this one to let go; the next use opens it again, and fails there.
        database.onversionchange = () => database.close();
        database.onclose = () => {
          this.#open = undefined;
        };
        resolve(database);
      };
      request.onerror = () => {
        this.#open = undefined;
        reject(noStore(request.error));
      };
    });
    return this.#open;
  }
}

function inUse(path: string): PilotError {
  return new PilotError('IDENTITY_IN_USE', `Cannot use identity ${path}: another page or worker has it`, {
    hint: 'a page without a name takes a free one; close the other, or use another name',
  });
}

function noStore(cause?: unknown): PilotError {
  return new PilotError('NOT_SUPPORTED', 'Cannot keep an identity: this page has no store', { cause, hint: HINT });
}
