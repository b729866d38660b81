// Types of actor.mjs, which is no TypeScript because pages load it as it is.

/** What a transfer came to. */
export interface Transferred {
  readonly sent: string;
  readonly received: string;
  readonly length: number;
}

export interface Described {
  readonly address: string;
  readonly nodeId: number;
  readonly key: string;
}

export interface Failed {
  readonly code: string;
  readonly hint?: string;
  readonly message?: string;
  readonly isOurs?: boolean;
}

type Maybe<T> = T | Promise<T>;

/** An agent at work; in another process every answer is a promise. */
export interface Actor {
  start(options: object): Promise<Described>;
  describe(): Maybe<Described>;
  stats(): Maybe<{ readonly engine: string; readonly host: string; readonly carrier: string }>;
  news(): Maybe<string[]>;
  online(): Promise<void>;
  close(): Promise<void>;
  approveAll(): Maybe<void>;
  befriend(address: string): Promise<void>;
  friends(): Maybe<string[]>;
  listen(port: number): Maybe<void>;
  dial(target: string, options?: object): Promise<void>;
  transfer(length: number): Promise<Transferred>;
  collect(port: number): Maybe<void>;
  send(target: string, text: string): Promise<void>;
  collected(count: number): Promise<string[]>;
  ping(target: string): Promise<number>;
  explain(target: string): Promise<{ readonly path: string }>;
  failure(name: string, ...args: unknown[]): Promise<Failed>;
}

export function createActor(pilotwire: object): Actor;
