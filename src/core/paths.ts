/**
 * Underlay addresses as small integers: core and its queues carry the integer, the driver the address. Paths that
 * nobody holds are recycled, so that a flood from many addresses costs a bounded table.
 */
import { LIMITS } from '../config.ts';
import { formatHostPort } from '../wire/host-port.ts';

/** No path. */
export const NO_PATH = -1;

interface Entry {
  readonly host: string;
  readonly port: number;
  readonly text: string;
  holders: number;
}

/** The table of one endpoint. */
export class Paths {
  readonly #ids = new Map<string, number>();
  readonly #entries: (Entry | undefined)[] = [];
  readonly #free: number[] = [];
  /** Ids that nobody holds, those unused for longest first. */
  readonly #loose = new Set<number>();

  get size(): number {
    return this.#ids.size;
  }

  /** The path of an address, made if need be. Valid until the next `intern`, unless held. */
  intern(host: string, port: number): number {
    const text = `${host} ${port}`;
    const known = this.#ids.get(text);
    if (known !== undefined) {
      if (this.#loose.delete(known)) this.#loose.add(known);
      return known;
    }
    if (this.#ids.size >= LIMITS.paths) this.#recycle();
    const id = this.#free.pop() ?? this.#entries.length;
    this.#entries[id] = { host, port, text, holders: 0 };
    this.#ids.set(text, id);
    this.#loose.add(id);
    return id;
  }

  /** @throws RangeError for an id that was recycled; holders never see that. */
  host(path: number): string {
    return this.#entry(path).host;
  }

  port(path: number): number {
    return this.#entry(path).port;
  }

  /** `host:port`, for people. */
  text(path: number): string {
    return formatHostPort(this.host(path), this.port(path));
  }

  /** Whether the id stands for an address now. */
  has(path: number): boolean {
    return this.#entries[path] !== undefined;
  }

  /** Keeps `path` from being recycled until `release`. Holds are counted. */
  hold(path: number): void {
    if (path === NO_PATH) return;
    this.#entry(path).holders += 1;
    this.#loose.delete(path);
  }

  release(path: number): void {
    if (path === NO_PATH) return;
    const entry = this.#entry(path);
    entry.holders -= 1;
    if (entry.holders === 0) this.#loose.add(path);
  }

  #entry(path: number): Entry {
    const entry = this.#entries[path];
    if (entry === undefined) throw new RangeError(`no path ${path}`);
    return entry;
  }

  /** Frees the older half of the paths that nobody holds. */
  #recycle(): void {
    let leaving = Math.ceil(this.#loose.size / 2);
    for (const id of this.#loose) {
      if (leaving === 0) return;
      leaving -= 1;
      this.#loose.delete(id);
      this.#ids.delete(this.#entry(id).text);
      this.#entries[id] = undefined;
      this.#free.push(id);
    }
  }
}
