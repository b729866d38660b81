/**
 * Virtual time: a queue of things to happen. Time stands still while code runs and moves only from one event to the
 * next; what is due at the same time happens in the order in which it was asked for, so a run can be repeated. An own
 * heap, because `Deadlines` (core/timers.ts) does not keep that order.
 */
import type { Millis } from '../config.ts';

/** Something that will happen; for `cancel` only. */
export interface ClockEvent {
  readonly at: Millis;
  readonly label: string;
}

interface Entry extends ClockEvent {
  readonly order: number;
  readonly callback: () => void;
  /** Index in the heap; -1 when it has happened or was cancelled. */
  place: number;
}

/** Virtual time and what it holds in store. */
export class Clock {
  readonly #heap: Entry[] = [];
  #now: Millis = 0;
  #orders = 0;

  /** Milliseconds since the world began. */
  get now(): Millis {
    return this.#now;
  }

  /** Events that are still to come. */
  get pending(): number {
    return this.#heap.length;
  }

  /** When the next event is due; `Infinity` when there is none. */
  get next(): Millis {
    return this.#heap[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Calls back at a time, behind everything already due then.
   *
   * @param at - A time that has passed means now. `Infinity` never comes.
   * @param label - For people, when the event is still there at the end.
   */
  at(at: Millis, label: string, callback: () => void): ClockEvent {
    if (Number.isNaN(at)) throw new RangeError(`Cannot schedule ${label}: its time is not a number`);
    const entry: Entry = { at: Math.max(at, this.#now), label, order: this.#orders++, callback, place: 0 };
    this.#heap.push(entry);
    this.#up(entry, this.#heap.length - 1);
    return entry;
  }

  /** Calls back after a delay; 0: behind everything that is due now. */
  after(delayMs: Millis, label: string, callback: () => void): ClockEvent {
    return this.at(this.#now + delayMs, label, callback);
  }

  /** Takes an event back. Does nothing when it has happened. */
  cancel(event: ClockEvent): void {
    const entry = event as Entry;
    if (entry.place < 0) return;
    const last = this.#heap.pop() as Entry;
    if (last !== entry) {
      const { place } = entry;
      this.#down(last, place);
      if (last.place === place) this.#up(last, place);
    }
    entry.place = -1;
  }

  /** Moves to the next event and lets it happen. What it throws passes through. */
  step(): void {
    const entry = this.#heap[0];
    if (entry === undefined || entry.at === Number.POSITIVE_INFINITY) return;
    this.cancel(entry);
    this.#now = entry.at;
    entry.callback();
  }

  /** Moves time forward past no event. */
  advance(to: Millis): void {
    if (to > this.next) throw new RangeError(`Cannot move to ${to} ms: an event is due at ${this.next} ms`);
    this.#now = Math.max(this.#now, to);
  }

  /** What the pending events are, the nearest first, each label with its count. */
  labels(): string[] {
    const counts = new Map<string, number>();
    for (const { label } of [...this.#heap].sort((a, b) => (isBefore(a, b) ? -1 : 1)))
      counts.set(label, (counts.get(label) ?? 0) + 1);
    return [...counts].map(([label, count]) => (count === 1 ? label : `${label} ×${count}`));
  }

  #up(entry: Entry, place: number): void {
    const heap = this.#heap;
    while (place > 0) {
      const above = heap[(place - 1) >> 1] as Entry;
      if (isBefore(above, entry)) break;
      heap[place] = above;
      above.place = place;
      place = (place - 1) >> 1;
    }
    heap[place] = entry;
    entry.place = place;
  }

  #down(entry: Entry, place: number): void {
    const heap = this.#heap;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Entry, heap[child] as Entry)) child += 1;
      const below = heap[child] as Entry;
      if (isBefore(entry, below)) break;
      heap[place] = below;
      below.place = place;
      place = child;
    }
    heap[place] = entry;
    entry.place = place;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.at === b.at ? a.order < b.order : a.at < b.at;
}
