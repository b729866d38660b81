/** A bounded queue that an application reads with `for await`: connections, datagrams, trust requests. */

/** What `for await` gets, and whoever fills it. */
export class AsyncQueue<T> implements AsyncIterable<T> {
  readonly #items: T[] = [];
  readonly #readers: { resolve: (result: IteratorResult<T>) => void; reject: (error: unknown) => void }[] = [];
  readonly #capacity: number;
  readonly #onEnd: () => void;
  #isEnded = false;
  #error: unknown;

  /** @param onEnd - Runs once, when the reader stops or `end` is called. */
  constructor(capacity: number, onEnd: () => void = () => {}) {
    this.#capacity = capacity;
    this.#onEnd = onEnd;
  }

  get size(): number {
    return this.#items.length;
  }

  /** @returns False when full or ended: the item was not taken. */
  push(item: T): boolean {
    if (this.#isEnded) return false;
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      reader.resolve({ done: false, value: item });
      return true;
    }
    if (this.#items.length >= this.#capacity) return false;
    this.#items.push(item);
    return true;
  }

  /** No more items; what is queued is still read. With an error, reading then fails. */
  end(error?: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#error = error;
    for (const reader of this.#readers.splice(0)) this.#finish(reader);
    this.#onEnd();
  }

  /** Takes what is queued out of it. */
  drain(): T[] {
    return this.#items.splice(0);
  }

  /** The next item, or undefined at the end. @throws What `end` was given. */
  async next(): Promise<IteratorResult<T>> {
    const item = this.#items.shift();
    if (item !== undefined) return { done: false, value: item };
    return await new Promise((resolve, reject) => {
      if (this.#isEnded) this.#finish({ resolve, reject });
      else this.#readers.push({ resolve, reject });
    });
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    return {
      next: () => this.next(),
      return: async () => {
        this.end();
        return { done: true, value: undefined };
      },
    };
  }

  #finish(reader: { resolve: (result: IteratorResult<T>) => void; reject: (error: unknown) => void }): void {
    if (this.#error === undefined) reader.resolve({ done: true, value: undefined });
    else reader.reject(this.#error);
  }
}
