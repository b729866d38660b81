/**
 * What speaking with other agents takes: the engine, memory for streams, and their state. Processes have it from the
 * start; pages load it with the first peer, so that starting an agent does not wait for it.
 */
import type { BufferPool } from '../core/buffer.ts';
import type { MakeContacts } from '../core/endpoint.ts';
import type { Engine } from '../engine/engine.ts';
import { PilotError } from '../errors.ts';

/** All of it. */
export interface Meetings {
  readonly engine: Engine;
  readonly pool: BufferPool;
  readonly makeContacts: MakeContacts;
}

/** Has it, or gets it. */
export class MeetingRoom {
  readonly #load: () => Promise<Meetings>;
  #loading: Promise<Meetings> | undefined;
  #loaded: Meetings | undefined;

  /** @param what - How to get it, asked again after a failure; or what there is. */
  constructor(what: Meetings | (() => Promise<Meetings>)) {
    this.#loaded = typeof what === 'function' ? undefined : what;
    this.#load = typeof what === 'function' ? what : async () => what;
  }

  /** Undefined until it is loaded. */
  get loaded(): Meetings | undefined {
    return this.#loaded;
  }

  /** @throws PilotError `UNREACHABLE` when it cannot be loaded now, or what the loader says. */
  load(): Promise<Meetings> {
    this.#loading ??= this.#load().then(
      (loaded) => {
        this.#loaded = loaded;
        return loaded;
      },
      (cause: unknown) => {
        this.#loading = undefined;
        throw cause instanceof PilotError ? cause : missing(cause);
      },
    );
    return this.#loading;
  }
}

function missing(cause: unknown): PilotError {
  return new PilotError('UNREACHABLE', 'Cannot speak with other agents: a file of this program did not load', {
    cause,
    hint: 'are the chunks still there that were built with this script?',
  });
}
