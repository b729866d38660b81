/**
 * An order among the places of a ring that is not the order of the ring: a doubly linked list whose links are two columns
 * of numbers. Every step costs the same however long it is. A place stands in it once or not at all.
 */

/** What `first` and `last` are when it is empty. */
export const NO_PLACE = -1;

/** A list of places. */
export class Chain {
  #next = new Int32Array(0);
  #previous = new Int32Array(0);
  #first = NO_PLACE;
  #last = NO_PLACE;

  get first(): number {
    return this.#first;
  }

  get last(): number {
    return this.#last;
  }

  /** What follows `place`, or `NO_PLACE`. */
  after(place: number): number {
    return this.#next[place]!;
  }

  /** Puts a place at the end. */
  push(place: number): void {
    this.#next[place] = NO_PLACE;
    this.#previous[place] = this.#last;
    if (this.#last === NO_PLACE) this.#first = place;
    else this.#next[this.#last] = place;
    this.#last = place;
  }

  /** Puts a place in front. */
  unshift(place: number): void {
    this.#previous[place] = NO_PLACE;
    this.#next[place] = this.#first;
    if (this.#first === NO_PLACE) this.#last = place;
    else this.#previous[this.#first] = place;
    this.#first = place;
  }

  /** Takes a place out that is in it. */
  remove(place: number): void {
    const next = this.#next[place]!;
    const previous = this.#previous[place]!;
    if (previous === NO_PLACE) this.#first = next;
    else this.#next[previous] = next;
    if (next === NO_PLACE) this.#last = previous;
    else this.#previous[next] = previous;
  }

  clear(): void {
    this.#first = NO_PLACE;
    this.#last = NO_PLACE;
  }

  /** Makes room for places below `capacity`. @param placeOf - Where a place is from now on. */
  grow(capacity: number, placeOf: (place: number) => number): void {
    const next = this.#next;
    let place = this.#first;
    this.#next = new Int32Array(capacity);
    this.#previous = new Int32Array(capacity);
    this.clear();
    for (; place !== NO_PLACE; place = next[place]!) this.push(placeOf(place));
  }
}
