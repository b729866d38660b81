/**
 * Identities of a browser: key and trust in IndexedDB under a name, held by a lock while an agent uses them. A page that
 * names none takes the first free of `agent-1`, `agent-2`, …, so two tabs are two agents, and remembers which, so that it
 * is the same one after a reload.
 */
import type { OpenIdentity } from '../../src/api/identity.ts';
import type { Millis } from '../../src/config.ts';
import { PilotError } from '../../src/errors.ts';
import type { BrowserDatabase } from './database.ts';
import type { BrowserKeys, LiveIdentity } from './keys.ts';

/** Where the numbers of this tab's agents are, in its session storage. */
const REMEMBERED = 'pilotwire-agents';
/** How long the lock of the page that this one was may outlive it. */
const RELOAD_MS: Millis = 1_000;
/** More agents in one origin than anybody opens. */
const NUMBERS = 1_000;
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/;

/** Opens identities of one origin. */
export class BrowserIdentities {
  readonly #keys: BrowserKeys;
  readonly #database: BrowserDatabase;
  /** Numbers that agents of this page have. */
  readonly #mine = new Set<number>();

  constructor(keys: BrowserKeys, database: BrowserDatabase) {
    this.#keys = keys;
    this.#database = database;
  }

  /**
   * Opens the identity of that name, made at first use.
   *
   * @throws PilotError `IDENTITY_IN_USE`, `IDENTITY_INVALID`, `NOT_SUPPORTED` where nothing can be kept. TypeError for a
   *   name that is none.
   */
  async open(name: string): Promise<OpenIdentity> {
    if (!NAME.test(name)) {
      throw new TypeError(`Cannot use identity ${JSON.stringify(name)}: want letters, digits, "_", "-" and "."`);
    }
    return await this.#load(name, await this.#database.lock(name, { patienceMs: RELOAD_MS }));
  }

  /** The first free of `agent-1`, `agent-2`, …, or the one that this tab had; in memory where nothing can be kept. */
  async openFree(): Promise<OpenIdentity> {
    if (!this.#database.isThere) return await this.create();
    const last = remembered().find((number) => !this.#mine.has(number));
    const again = last === undefined ? undefined : await this.#tryNumber(last, RELOAD_MS);
    if (again !== undefined) return again;
    for (let number = 1; number <= NUMBERS; number++) {
      const opened = await this.#tryNumber(number, 0);
      if (opened !== undefined) return opened;
    }
    throw new PilotError('BUSY', `Cannot start an agent: ${NUMBERS} run in this origin`);
  }

  /** A fresh one that ends with the agent. */
  async create(): Promise<OpenIdentity> {
    const { live } = await this.#keys.createIdentity();
    return this.#opened(live, async () => {});
  }

  async #tryNumber(number: number, patienceMs: Millis): Promise<OpenIdentity | undefined> {
    const name = `agent-${number}`;
    let unlock: () => Promise<void>;
    try {
      unlock = await this.#database.lock(name, { patienceMs });
    } catch (error) {
      if (error instanceof PilotError && error.code === 'IDENTITY_IN_USE') return undefined;
      throw error;
    }
    this.#mine.add(number);
    remember(number);
    return await this.#load(name, async () => {
      this.#mine.delete(number);
      await unlock();
    });
  }

  async #load(name: string, unlock: () => Promise<void>): Promise<OpenIdentity> {
    try {
      const kept = await this.#database.readIdentity(name);
      const live = kept === undefined ? await this.#make(name) : await this.#keys.openIdentity(kept);
      const trustPath = `${name}/trust.json`;
      const trust = await this.#database.read(trustPath);
      const trustText = trust === undefined ? undefined : new TextDecoder().decode(trust);
      return { ...this.#opened(live, unlock), trustPath, trustText };
    } catch (error) {
      await unlock();
      if (error instanceof PilotError) throw error;
      throw new PilotError('IDENTITY_INVALID', `Cannot use identity ${name}: this browser cannot use its key`, {
        cause: error,
      });
    }
  }

  async #make(name: string): Promise<LiveIdentity> {
    const { live, kept } = await this.#keys.createIdentity();
    if (kept === undefined) {
      throw new PilotError('NOT_SUPPORTED', `Cannot keep identity ${name}: this page has no WebCrypto`, {
        hint: 'serve it over https:// or from localhost',
      });
    }
    await this.#database.writeIdentity(name, kept);
    return live;
  }

  #opened({ identity, publicKey }: LiveIdentity, unlock: () => Promise<void>): OpenIdentity {
    const release = async (): Promise<void> => {
      this.#keys.jobs.forget(identity);
      await unlock();
    };
    return { identity, publicKey, trustPath: undefined, trustText: undefined, release };
  }
}

/** Session storage is the tab's own and survives a reload; a worker has none, and a page may be kept from it. */
function remembered(): number[] {
  try {
    const text = sessionStorage.getItem(REMEMBERED) ?? '';
    return text
      .split(',')
      .map(Number)
      .filter((number) => Number.isInteger(number) && number > 0);
  } catch {
    return [];
  }
}

function remember(number: number): void {
  try {
    sessionStorage.setItem(REMEMBERED, [...new Set([...remembered(), number])].join(','));
  } catch {
    // Then a reload takes the first free one.
  }
}
