/**
 * `Control` of an agent that runs in another process, over its control socket. An Error frame names no command and
 * frames have no number (CP 5.2), so one command is under way at a time; others wait their turn.
 */
import type { Millis } from '../config.ts';
import { PilotError } from '../errors.ts';
import type { Control, ControlAnswer } from './control.ts';
import { FrameReader } from './framing.ts';
import type { ControlClock, ControlHandler, ControlLink } from './link.ts';
import {
  COMMAND,
  emitHandshake,
  emitInfo,
  errorCodeOf,
  type HandshakeRequest,
  parseAnswer,
  parseError,
} from './messages.ts';

/** The official driver's (CP 5.2). */
const ANSWER_MS: Millis = 30_000;

interface Waiting {
  readonly command: number;
  readonly resolve: (answer: ControlAnswer) => void;
  readonly reject: (error: PilotError) => void;
}

/** One client. Make it, open a link with it as the handler, then `attach` that. */
export class ControlClient implements Control, ControlHandler {
  readonly #clock: ControlClock;
  readonly #reader = new FrameReader();
  #link: ControlLink | undefined;
  #waiting: Waiting | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(clock: ControlClock) {
    this.#clock = clock;
  }

  attach(link: ControlLink): void {
    this.#link = link;
  }

  info(): Promise<ControlAnswer> {
    return this.#ask(COMMAND.infoAnswer, emitInfo());
  }

  request(nodeId: number, justification: string): Promise<ControlAnswer> {
    return this.#handshake({ sub: 'send', nodeId, text: justification });
  }

  approve(nodeId: number): Promise<ControlAnswer> {
    return this.#handshake({ sub: 'approve', nodeId });
  }

  reject(nodeId: number, reason: string): Promise<ControlAnswer> {
    return this.#handshake({ sub: 'reject', nodeId, text: reason });
  }

  pending(): Promise<ControlAnswer> {
    return this.#handshake({ sub: 'pending' });
  }

  trusted(): Promise<ControlAnswer> {
    return this.#handshake({ sub: 'trusted' });
  }

  revoke(nodeId: number): Promise<ControlAnswer> {
    return this.#handshake({ sub: 'revoke', nodeId });
  }

  wait(nodeId: number, timeoutMs: Millis): Promise<ControlAnswer> {
    return this.#handshake({ sub: 'wait', nodeId, timeoutMs }, timeoutMs);
  }

  /** Ends the link; what is under way is rejected with `CLOSED`. */
  close(): void {
    this.#end(new PilotError('CLOSED', 'The control socket was closed'));
  }

  data(bytes: Uint8Array): void {
    this.#reader.push(bytes);
    for (let frame = this.#reader.next(); frame !== undefined; frame = this.#reader.next()) {
      this.#handle(frame.command, frame.payload);
    }
    if (this.#reader.isOversize) this.#end(protocolError('a frame that is too long'));
  }

  drain(): void {}

  closed(): void {
    this.#end(new PilotError('CONNECTION_LOST', 'The control socket was closed by the agent'));
  }

  /** Pushes (Accept, Recv, Closed, RecvFrom), and answers that nobody waits for, are passed over (CP 5.2). */
  #handle(command: number, payload: Uint8Array): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    if (command === COMMAND.error) {
      this.#waiting = undefined;
      const text = parseError(payload);
      waiting.reject(new PilotError(errorCodeOf(text), `The agent refused: ${text}`));
    } else if (command === waiting.command) {
      this.#waiting = undefined;
      const answer = parseAnswer(payload);
      if (answer === undefined) waiting.reject(protocolError('an answer that is no JSON object'));
      else waiting.resolve(answer);
    }
  }

  #handshake(request: HandshakeRequest, extraMs: Millis = 0): Promise<ControlAnswer> {
    return this.#ask(COMMAND.handshakeAnswer, emitHandshake(request), extraMs);
  }

  #ask(command: number, frame: Uint8Array, extraMs: Millis = 0): Promise<ControlAnswer> {
    const asked = this.#turn.then(() => this.#askNow(command, frame, ANSWER_MS + extraMs));
    this.#turn = asked.catch(() => {});
    return asked;
  }

  async #askNow(command: number, frame: Uint8Array, timeoutMs: Millis): Promise<ControlAnswer> {
    const link = this.#link;
    if (this.#isClosed || link === undefined) throw new PilotError('CLOSED', 'The control socket was closed');
    const timer = this.#clock.setTimer(timeoutMs, () => {
      // A late answer would be taken for the next command's.
      this.#end(new PilotError('TIMEOUT', `The agent did not answer on its control socket within ${timeoutMs} ms`));
    });
    try {
      return await new Promise<ControlAnswer>((resolve, reject) => {
        this.#waiting = { command, resolve, reject };
        link.write(frame);
      });
    } finally {
      timer.cancel();
    }
  }

  #end(error: PilotError): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#waiting?.reject(error);
    this.#waiting = undefined;
    this.#link?.destroy();
  }
}

function protocolError(fact: string): PilotError {
  return new PilotError('PROTOCOL', `Cannot read the control socket: the agent sent ${fact}`);
}
