/** Dials under way: from the first SYN to a connection, a code, or somebody who lost patience. */
import { type ConnectionId, EVENT } from '../core/events.ts';
import type { Stream } from '../core/streams.ts';
import type { Driver } from '../driver.ts';
import { PilotError } from '../errors.ts';
import type { Address } from '../wire/address.ts';
import { connectionError } from './connection.ts';
import type { CallOptions } from './shapes.ts';
import { pause, waitFor } from './wait.ts';

/** CP 2.8: pauses before a refused dial to a new friend is repeated, and how long somebody is new. */
const FIRST_CONTACT_MS = [250, 500, 1_000] as const;
const FIRST_CONTACT_SECONDS = 10;

/** The dials of one agent. */
export class Dials {
  readonly #driver: () => Driver;
  readonly #waiting = new Map<ConnectionId, (bits: number) => void>();

  constructor(driver: () => Driver) {
    this.#driver = driver;
  }

  /** Dials until the connection is there. @throws PilotError why it is not, or the signal's reason. */
  async dial(peer: Address, port: number, options: CallOptions): Promise<Stream> {
    for (const pauseMs of FIRST_CONTACT_MS) {
      try {
        return await this.#once(peer, port, options);
      } catch (error) {
        const isRefused = error instanceof PilotError && error.code === 'CONNECTION_REFUSED';
        if (!isRefused || !this.#isFirstContact(peer)) throw error;
        await pause(this.#driver(), pauseMs, options.signal);
      }
    }
    return await this.#once(peer, port, options);
  }

  /** Something happened on a connection, perhaps one that is being dialled. */
  handleBits(id: ConnectionId, bits: number): void {
    this.#waiting.get(id)?.(bits);
  }

  async #once(peer: Address, port: number, options: CallOptions): Promise<Stream> {
    const driver = this.#driver();
    const id = driver.endpoint.contacts.dial(driver.now(), peer.node, { network: peer.network, port });
    if (typeof id !== 'number') throw connectionError(id, peer, port);
    const stream = driver.endpoint.contacts.stream(id);
    if (stream === undefined) throw connectionError('CONNECTION_LOST', peer, port);
    driver.flush();
    const wait = {
      setTimer: (delayMs: number, callback: () => void) => driver.setTimer(delayMs, callback),
      timeoutMs: options.timeoutMs,
      signal: options.signal,
      timeoutError: () => connectionError('DIAL_TIMEOUT', peer, port),
    };
    try {
      await waitFor(wait, (done) => {
        this.#waiting.set(id, (bits) => {
          if ((bits & EVENT.connected) !== 0) done();
          else if ((bits & EVENT.closed) !== 0) {
            done(connectionError(stream.failure ?? stream.connection.error ?? 'CONNECTION_LOST', peer, port));
          }
        });
        return () => this.#waiting.delete(id);
      });
    } catch (error) {
      if (!driver.isClosed) {
        stream.connection.abort(driver.now());
        driver.endpoint.contacts.touch(driver.now(), stream);
        driver.flush();
      }
      throw error;
    }
    return stream;
  }

  /** Who just became our friend may not have heard of it yet, and says no. */
  #isFirstContact(peer: Address): boolean {
    const driver = this.#driver();
    const { trust } = driver.endpoint.contacts;
    const since = driver.unixNow() / 1000 - FIRST_CONTACT_SECONDS;
    if (trust.outgoing().some(({ nodeId }) => nodeId === peer.node)) return true;
    return trust.trusted(driver.now()).some(({ nodeId, approvedAt }) => nodeId === peer.node && approvedAt >= since);
  }
}
