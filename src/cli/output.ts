/**
 * Standard output and standard error: one line of JSON per run for programs (CP 7.1), or text for people. Everything
 * that comes from elsewhere passes through `printable` before a terminal sees it.
 */
import type { Failure } from './failure.ts';
import type { System } from './system.ts';

/** The `data` of an answer. */
export interface Data {
  readonly [key: string]: unknown;
}

/** Control characters but tab and line feed: they could move the cursor, or worse. */
const CONTROLS = /[\p{Cc}\p{Cf}]/gu;

/** What a run says, in one of two languages. */
export class Output {
  /** The answer is JSON; notes and pictures are left out. */
  readonly isJson: boolean;
  readonly #system: System;
  /** A character may come in two pieces. */
  readonly #decoder = new TextDecoder();

  constructor(system: System, isJson: boolean) {
    this.#system = system;
    this.isJson = isJson;
  }

  /** The result, once: `data` for programs, `text` for people (nothing when empty). */
  async succeed(data: Data, text: string): Promise<void> {
    if (this.isJson) await this.#system.writeOut(`${JSON.stringify({ status: 'ok', data })}\n`);
    else if (text !== '') await this.print(text);
  }

  /** A line on the way to the result, for people only. */
  async print(text: string): Promise<void> {
    if (!this.isJson) await this.#system.writeOut(`${printable(text)}\n`);
  }

  /** A line beside the result, for people only. */
  async note(text: string): Promise<void> {
    if (!this.isJson) await this.#system.writeError(`${printable(text)}\n`);
  }

  /** Bytes of a peer, for people only: as they are into a file or pipe, harmless to a terminal. */
  async show(bytes: Uint8Array): Promise<void> {
    if (this.isJson) return;
    const { isTerminal } = this.#system;
    await this.#system.writeOut(isTerminal ? printable(this.#decoder.decode(bytes, { stream: true })) : bytes);
  }

  async fail({ code, message, hint }: Failure): Promise<void> {
    if (this.isJson) {
      const failure = { status: 'error', code, message, ...(hint === undefined ? {} : { hint }) };
      await this.#system.writeError(`${JSON.stringify(failure)}\n`);
      return;
    }
    const hintLine = hint === undefined ? '' : `hint:  ${printable(hint)}\n`;
    await this.#system.writeError(`error: ${printable(message)}\n${hintLine}`);
  }
}

/** The text with every control character but tab and line feed replaced by what shows that one was there. */
export function printable(text: string): string {
  return text.replace(CONTROLS, (character) => (character === '\n' || character === '\t' ? character : '\uFFFD'));
}
