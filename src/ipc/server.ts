/**
 * The control socket of a running agent (CP 5): clients, their frames and their answers. Commands of one client run side
 * by side, as in the newest reference, so that one that waits holds up nothing. Bounded in every direction: a client
 * with too much under way is not read, one that does not read is cut off, and one that sends no frames is as well.
 */
import type { Millis } from '../config.ts';
import { PilotError } from '../errors.ts';
import type { Control, ControlAnswer } from './control.ts';
import { FRAME_MAX, FrameReader } from './framing.ts';
import type { ControlClock, ControlHandler, ControlLink, ControlTimer } from './link.ts';
import { COMMAND, emitAnswer, emitError, type HandshakeRequest, parseHandshake, unknownCommand } from './messages.ts';

/** CP 5.2. */
const CLIENTS = 1_024;
/** Answers that wait and commands that run, of one client. */
const FRAMES_PER_CLIENT = 256;
/** Bytes of answers that wait or, as long as they are still to come, that they may have. */
const BYTES_PER_CLIENT = 4 * 1_048_576;
const WRITE_MS: Millis = 10_000;

/** Limits that only tests change. */
export interface ControlServerLimits {
  readonly clients?: number;
  readonly framesPerClient?: number;
  readonly bytesPerClient?: number;
  readonly writeTimeoutMs?: Millis;
}

/** What a server has done, and what it refused. */
export interface ControlServerStats {
  readonly clients: number;
  readonly answers: number;
  readonly errors: number;
  /** Clients that came when there was no room. */
  readonly refusedClients: number;
  /** Clients whose frame was longer than allowed. */
  readonly oversizeFrames: number;
  /** Frames without a command; passed over. */
  readonly emptyFrames: number;
  /** Clients that did not read. */
  readonly slowClients: number;
  /** Times that a client had too much under way. */
  readonly pauses: number;
}

interface Tally {
  answers: number;
  errors: number;
  refusedClients: number;
  oversizeFrames: number;
  emptyFrames: number;
  slowClients: number;
  pauses: number;
}

interface Parts {
  readonly control: Control;
  readonly clock: ControlClock;
  readonly limits: Required<ControlServerLimits>;
  readonly tally: Tally;
  readonly onClosed: (client: Client) => void;
}

/** What is known of an answer before it is there. */
interface Expected {
  readonly isList: boolean;
  /** The text of its error. */
  readonly textOf: (error: unknown) => string;
}

/** Serves one agent. Give `accept` to whatever listens. */
export class ControlServer {
  readonly #parts: Parts;
  readonly #clients = new Set<Client>();

  constructor(control: Control, clock: ControlClock, limits: ControlServerLimits = {}) {
    this.#parts = {
      control,
      clock,
      limits: {
        clients: limits.clients ?? CLIENTS,
        framesPerClient: limits.framesPerClient ?? FRAMES_PER_CLIENT,
        bytesPerClient: limits.bytesPerClient ?? BYTES_PER_CLIENT,
        writeTimeoutMs: limits.writeTimeoutMs ?? WRITE_MS,
      },
      tally: {
        answers: 0,
        errors: 0,
        refusedClients: 0,
        oversizeFrames: 0,
        emptyFrames: 0,
        slowClients: 0,
        pauses: 0,
      },
      onClosed: (client) => this.#clients.delete(client),
    };
  }

  /** Takes a link. It is destroyed at once when there is no room. */
  accept(link: ControlLink): ControlHandler {
    const { limits, tally } = this.#parts;
    if (this.#clients.size >= limits.clients) {
      tally.refusedClients += 1;
      link.destroy();
      return { data() {}, drain() {}, closed() {} };
    }
    const client = new Client(link, this.#parts);
    this.#clients.add(client);
    return client;
  }

  stats(): ControlServerStats {
    return { ...this.#parts.tally, clients: this.#clients.size };
  }

  /** Ends all clients at once. */
  close(): void {
    for (const client of [...this.#clients]) client.destroy();
  }
}

/** One client. */
class Client implements ControlHandler {
  readonly #link: ControlLink;
  readonly #parts: Parts;
  readonly #reader = new FrameReader();
  readonly #queue: Uint8Array[] = [];
  /** Fires when the client is gone: what it waits for ends. */
  readonly #gone = new AbortController();
  #queuedBytes = 0;
  /** For lists that are being made; all other answers are short. */
  #reservedBytes = 0;
  #running = 0;
  #emptyFrames = 0;
  #isFull = false;
  #isPaused = false;
  #deadline: ControlTimer | undefined;

  constructor(link: ControlLink, parts: Parts) {
    this.#link = link;
    this.#parts = parts;
  }

  data(bytes: Uint8Array): void {
    this.#reader.push(bytes);
    this.#dispatch();
  }

  drain(): void {
    this.#isFull = false;
    this.#deadline?.cancel();
    this.#deadline = undefined;
    this.#flush();
    this.#dispatch();
  }

  closed(): void {
    if (this.#gone.signal.aborted) return;
    this.#deadline?.cancel();
    this.#queue.length = 0;
    this.#gone.abort();
    this.#parts.onClosed(this);
  }

  destroy(): void {
    this.#link.destroy();
    this.closed();
  }

  get #isBusy(): boolean {
    const { framesPerClient, bytesPerClient } = this.#parts.limits;
    return (
      this.#queue.length + this.#running >= framesPerClient || this.#queuedBytes + this.#reservedBytes >= bytesPerClient
    );
  }

  /** Frames into commands, as long as there is room for their answers. */
  #dispatch(): void {
    while (!this.#gone.signal.aborted && !this.#isBusy) {
      const frame = this.#reader.next();
      if (frame === undefined) break;
      this.#run(frame.command, frame.payload);
    }
    const { emptyFrames } = this.#reader;
    this.#parts.tally.emptyFrames += emptyFrames - this.#emptyFrames;
    this.#emptyFrames = emptyFrames;
    if (this.#reader.isOversize && !this.#gone.signal.aborted) {
      this.#parts.tally.oversizeFrames += 1;
      this.destroy();
    }
    if (this.#gone.signal.aborted || this.#isPaused === this.#isBusy) return;
    this.#isPaused = this.#isBusy;
    if (this.#isPaused) {
      this.#parts.tally.pauses += 1;
      this.#link.pause();
    } else {
      this.#link.resume();
    }
  }

  #run(command: number, payload: Uint8Array): void {
    const { control } = this.#parts;
    if (command === COMMAND.info) {
      const textOf = (error: unknown): string => `info: ${messageOf(error)}`;
      this.#answer(COMMAND.infoAnswer, control.info(), { isList: true, textOf });
    } else if (command === COMMAND.handshake) {
      const request = parseHandshake(payload);
      if (typeof request === 'string') {
        this.#refuse(request);
        return;
      }
      const isList = request.sub === 'pending' || request.sub === 'trusted';
      const textOf = (error: unknown): string => handshakeError(request, error);
      this.#answer(COMMAND.handshakeAnswer, handshake(control, request, this.#gone.signal), { isList, textOf });
    } else {
      this.#refuse(unknownCommand(command));
    }
  }

  #answer(command: number, answer: Promise<ControlAnswer>, { isList, textOf }: Expected): void {
    const reserved = isList ? FRAME_MAX : 0;
    this.#running += 1;
    this.#reservedBytes += reserved;
    const done = (frame: Uint8Array, outcome: 'answers' | 'errors'): void => {
      this.#parts.tally[outcome] += 1;
      this.#running -= 1;
      this.#reservedBytes -= reserved;
      this.#enqueue(frame);
      this.#dispatch();
    };
    answer
      .then((value) => emitAnswer(command, value))
      .then(
        (frame) => done(frame, 'answers'),
        (error: unknown) => done(emitError(textOf(error)), 'errors'),
      );
  }

  #refuse(text: string): void {
    this.#parts.tally.errors += 1;
    this.#enqueue(emitError(text));
  }

  #enqueue(frame: Uint8Array): void {
    if (this.#gone.signal.aborted) return;
    this.#queue.push(frame);
    this.#queuedBytes += frame.length;
    this.#flush();
  }

  #flush(): void {
    while (!this.#isFull && this.#queue.length > 0) {
      const frame = this.#queue.shift()!;
      this.#queuedBytes -= frame.length;
      if (this.#link.write(frame)) continue;
      this.#isFull = true;
      this.#deadline = this.#parts.clock.setTimer(this.#parts.limits.writeTimeoutMs, () => {
        this.#parts.tally.slowClients += 1;
        this.destroy();
      });
    }
  }
}

function handshake(control: Control, request: HandshakeRequest, gone: AbortSignal): Promise<ControlAnswer> {
  switch (request.sub) {
    case 'send':
      return control.request(request.nodeId, request.text);
    case 'approve':
      return control.approve(request.nodeId);
    case 'reject':
      return control.reject(request.nodeId, request.text);
    case 'pending':
      return control.pending();
    case 'trusted':
      return control.trusted();
    case 'revoke':
      return control.revoke(request.nodeId);
    case 'wait':
      return control.wait(request.nodeId, request.timeoutMs, gone);
    default:
      return request satisfies never;
  }
}

/** In the reference's words, where we know them (observed). */
function handshakeError(request: HandshakeRequest, error: unknown): string {
  const isUnknown = error instanceof PilotError && error.code === 'NOT_FOUND' && 'nodeId' in request;
  if (!isUnknown) return `handshake ${request.sub}: ${messageOf(error)}`;
  const fact =
    request.sub === 'revoke'
      ? `node ${request.nodeId} was not trusted`
      : `no pending request from node ${request.nodeId}`;
  return `handshake ${request.sub}: ${fact}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
