/**
 * The command line: words in, one run of one command, an exit code out (CP 7.1): 0 success, 1 any error, 2 no command or
 * an unknown one.
 */
import { Arguments, type Flag, parseWords } from './arguments.ts';
import type { Command } from './command.ts';
import { COMMANDS } from './commands.ts';
import { CommandError, failureOf } from './failure.ts';
import { describeCommand, listCommands } from './help.ts';
import { Output } from './output.ts';
import type { System } from './system.ts';

const OK = 0;
const FAILED = 1;
const USAGE = 2;

/** Runs what the words say, and prints how it ended. Never rejects. @returns The exit code. */
export async function main(system: System, commands: readonly Command[] = COMMANDS): Promise<number> {
  const words = parseWords(system.words, allFlags(commands));
  const output = new Output(system, words.isJson);
  const [name, ...positionals] = words.positionals;
  const command = commands.find((one) => one.name === name);
  if (command === undefined) {
    if (words.wantsHelp && name === undefined) {
      await output.print(listCommands(commands));
      return OK;
    }
    const message = name === undefined ? 'No command' : `Unknown command: ${name}`;
    const hint = `one of ${commands.map((one) => one.name).join(', ')}; \`pilotwire help\` says what they do`;
    await output.fail({ code: 'invalid_argument', message, hint });
    return USAGE;
  }
  if (words.wantsHelp) {
    await output.succeed({ help: describeCommand(command) }, describeCommand(command));
    return OK;
  }
  try {
    const call = { arguments: new Arguments(positionals, words.flags, command.flags), output, system, commands };
    await command.run(call);
    return OK;
  } catch (error) {
    await output.fail(failureOf(system.signal.aborted ? interrupted(error) : error));
    return FAILED;
  }
}

function allFlags(commands: readonly Command[]): Flag[] {
  return commands.flatMap(({ flags }) => flags);
}

function interrupted(cause: unknown): CommandError {
  return new CommandError('invalid_state', 'Interrupted', { cause });
}
