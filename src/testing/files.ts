/**
 * The disk of a virtual machine: small files in memory that outlive the programs which wrote them, and the locks of
 * the programs that run.
 */
import type { Files } from '../carrier/host.ts';
import { PilotError } from '../errors.ts';

interface StoredFile {
  readonly bytes: Uint8Array;
  readonly isShared: boolean;
}

/** One machine's files. */
export class Disk {
  readonly #files = new Map<string, StoredFile>();
  /** Path → what holds it. */
  readonly #locks = new Map<string, { readonly owner: object }>();

  /** Paths that are locked. */
  get locked(): string[] {
    return [...this.#locks.keys()];
  }

  /** A copy of a file as it is, without asking who may read it. */
  peek(path: string): Uint8Array | undefined {
    return this.#files.get(path)?.bytes.slice();
  }

  /** Writes as somebody else would. @param options - `isShared`: group or others may read it. */
  put(path: string, bytes: Uint8Array, options: { isShared?: boolean } = {}): void {
    this.#files.set(path, { bytes: bytes.slice(), isShared: options.isShared ?? false });
  }

  remove(path: string): void {
    this.#files.delete(path);
  }

  /** The disk as one program sees it. @param owner - Holds the locks. @throws PilotError `CLOSED` when it has ended */
  mount(owner: { readonly isRunning: boolean }): Files {
    const check = (): void => {
      if (!owner.isRunning) throw new PilotError('CLOSED', 'Cannot use files: the program was ended');
    };
    return {
      read: async (path, options) => {
        check();
        const file = this.#files.get(path);
        if (file?.isShared && options?.secret) {
          throw new PilotError('IDENTITY_INVALID', `Cannot use ${path}: others may read it`);
        }
        return file?.bytes.slice();
      },
      writeAtomic: async (path, bytes) => {
        check();
        this.put(path, bytes);
      },
      lock: async (path) => {
        check();
        if (this.#locks.has(path)) throw new PilotError('IDENTITY_IN_USE', `Cannot lock ${path}: it is locked`);
        const hold = { owner };
        this.#locks.set(path, hold);
        return async () => {
          // Only its own: somebody else may hold the path by now.
          if (this.#locks.get(path) === hold) this.#locks.delete(path);
        };
      },
    };
  }

  /** Gives back what a program that was ended had locked. */
  unlockAll(owner: object): void {
    for (const [path, hold] of this.#locks) if (hold.owner === owner) this.#locks.delete(path);
  }
}
