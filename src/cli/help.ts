/** `help`: what there is; for programs the same as data (`context` of CP 7.2). */
import { alignColumns } from './columns.ts';
import type { Call, Command } from './command.ts';
import { CommandError, FAILURE_CODES } from './failure.ts';

const ENVIRONMENT: readonly (readonly [name: string, about: string])[] = [
  ['PILOTWIRE_RENDEZVOUS', 'URL of the rendezvous, when --rendezvous is not given'],
  ['PILOT_REGISTRY', 'the same as host:port in plaintext, when the former is not set'],
  ['PILOTWIRE_HOME', 'where identities live, default ~/.pilotwire'],
  ['PILOT_ADMIN_TOKEN', 'token of `rendezvous`, when --admin-token is not given'],
];
const GLOBAL_FLAGS: readonly (readonly [name: string, about: string])[] = [
  ['--json', 'one line of JSON: {"status":"ok","data":…} or, on stderr, {"status":"error","code":…,"message":…}'],
  ['--help', 'what a command takes'],
];

/** The list of all commands. */
export const help: Command = {
  name: 'help',
  usage: '[command]',
  summary: 'say what there is, or what a command takes',
  returns: 'version, commands, global_flags, environment, error_codes',
  flags: [],
  async run({ arguments: words, commands, output, system }: Call): Promise<void> {
    words.atMost(1);
    const name = words.optional(0);
    const command = commands.find((one) => one.name === name);
    if (name !== undefined && command === undefined) {
      throw new CommandError('invalid_argument', `Unknown command: ${name}`);
    }
    const shown = command === undefined ? commands : [command];
    const catalogue = {
      version: system.version,
      commands: Object.fromEntries(shown.map((one) => [one.name, catalogueEntry(one)])),
      global_flags: Object.fromEntries(GLOBAL_FLAGS),
      environment: Object.fromEntries(ENVIRONMENT),
      error_codes: [...new Set(Object.values(FAILURE_CODES))].sort(),
    };
    await output.succeed(catalogue, command === undefined ? listCommands(commands) : describeCommand(command));
  },
};

/** One line per command. */
export function listCommands(commands: readonly Command[]): string {
  const rows = commands.map(({ name, usage, summary }) => [`  ${name} ${usage}`.trimEnd(), summary]);
  return [
    'pilotwire: agents that find each other and talk directly',
    '',
    'usage: pilotwire <command> [arguments] [flags]',
    '',
    alignColumns(rows),
    '',
    alignColumns(GLOBAL_FLAGS.map(([name, about]) => [`  ${name}`, about])),
    '',
    alignColumns(ENVIRONMENT.map(([name, about]) => [`  ${name}`, about])),
  ].join('\n');
}

/** What one command takes. */
export function describeCommand({ name, usage, summary, details, flags }: Command): string {
  const lines = [`usage: pilotwire ${name} ${usage}`.trimEnd(), '', summary];
  if (details !== undefined) lines.push('', details);
  if (flags.length > 0) {
    const rows = flags.map((flag) => [
      `  --${flag.name}${flag.value === undefined ? '' : ` ${flag.value}`}`,
      flag.about,
    ]);
    lines.push('', alignColumns(rows));
  }
  return lines.join('\n');
}

function catalogueEntry({ usage, summary, returns, flags }: Command): object {
  return {
    args: [usage, ...flags.map(({ name, value }) => `[--${name}${value === undefined ? '' : ` ${value}`}]`)]
      .filter((part) => part !== '')
      .join(' '),
    description: summary,
    returns,
  };
}
