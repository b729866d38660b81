/**
 * Deadlines of many things, the nearest first: an indexed binary heap keyed by small integers. Setting a deadline again
 * moves it. Not a clock: the caller brings the time.
 */
import type { Millis } from '../config.ts';

/** A set of (key, deadline) pairs ordered by deadline. All operations are O(log n). */
export class Deadlines {
  readonly #keys: number[] = [];
  readonly #times: Millis[] = [];
  readonly #places = new Map<number, number>();

  get size(): number {
    return this.#keys.length;
  }

  /** The nearest deadline, `Infinity` when there is none. */
  next(): Millis {
    return this.#times[0] ?? Number.POSITIVE_INFINITY;
  }

  /** Sets or moves the deadline of `key`; `Infinity` removes it. */
  set(key: number, at: Millis): void {
    if (at === Number.POSITIVE_INFINITY) {
      this.delete(key);
      return;
    }
    const place = this.#places.get(key);
    if (place === undefined) {
      this.#keys.push(key);
      this.#times.push(at);
      this.#places.set(key, this.#keys.length - 1);
      this.#up(this.#keys.length - 1);
      return;
    }
    const before = this.#times[place] as number;
    if (before === at) return;
    this.#times[place] = at;
    if (at < before) this.#up(place);
    else this.#down(place);
  }

  delete(key: number): void {
    const place = this.#places.get(key);
    if (place === undefined) return;
    const last = this.#keys.length - 1;
    this.#swap(place, last);
    this.#keys.pop();
    this.#times.pop();
    this.#places.delete(key);
    if (place < last) {
      this.#up(place);
      this.#down(place);
    }
  }

  /** Removes and returns one key whose deadline is not after `now`, or -1. */
  pop(now: Millis): number {
    if (this.next() > now) return -1;
    const key = this.#keys[0] as number;
    this.delete(key);
    return key;
  }

  #up(place: number): void {
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if ((this.#times[parent] as number) <= (this.#times[place] as number)) return;
      this.#swap(place, parent);
      place = parent;
    }
  }

  #down(place: number): void {
    for (;;) {
      let least = place;
      for (let child = 2 * place + 1; child <= 2 * place + 2; child++) {
        if (child < this.#keys.length && (this.#times[child] as number) < (this.#times[least] as number)) least = child;
      }
      if (least === place) return;
      this.#swap(place, least);
      place = least;
    }
  }

  #swap(a: number, b: number): void {
    if (a === b) return;
    const key = this.#keys[a] as number;
    const time = this.#times[a] as number;
    this.#keys[a] = this.#keys[b] as number;
    this.#times[a] = this.#times[b] as number;
    this.#keys[b] = key;
    this.#times[b] = time;
    this.#places.set(this.#keys[a] as number, a);
    this.#places.set(key, b);
  }
}
