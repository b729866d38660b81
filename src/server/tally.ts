/**
 * Totals by name: what the server did and what it dropped, and why. Every dropped byte is counted once.
 */

/** Counters whose names are known beforehand, so that hostile input cannot make new ones. */
export class Tally<Name extends string> {
  readonly #totals = new Map<Name, number>();

  add(name: Name): void {
    this.#totals.set(name, (this.#totals.get(name) ?? 0) + 1);
  }

  get(name: Name): number {
    return this.#totals.get(name) ?? 0;
  }

  /** A copy of all totals that are not zero. */
  all(): Partial<Record<Name, number>> {
    return Object.fromEntries(this.#totals) as Partial<Record<Name, number>>;
  }
}
