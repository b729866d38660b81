/** What a command is, and what it is called with. One file of src/cli/ has one command; commands.ts lists them. */
import type { Arguments, Flag } from './arguments.ts';
import type { Output } from './output.ts';
import type { System } from './system.ts';

/** One command of the command line. */
export interface Command {
  readonly name: string;
  /** Positional arguments for people: `<required> [optional]`; empty for none. */
  readonly usage: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** More for `help <command>`; optional. */
  readonly details?: string;
  /** Keys of `data` in the JSON answer, for those who call by program. */
  readonly returns: string;
  /** All that it takes, beside `--json` and `--help`, which every command has. */
  readonly flags: readonly Flag[];
  /**
   * Does it, and tells the result once by `call.output.succeed`. Rejects with what went wrong; main.ts prints that.
   * What it opened it closes, also when `call.system.signal` fires.
   */
  run(call: Call): Promise<void>;
}

/** One run of a command. */
export interface Call {
  readonly arguments: Arguments;
  readonly output: Output;
  readonly system: System;
  /** All commands, for those that speak of them. */
  readonly commands: readonly Command[];
}
