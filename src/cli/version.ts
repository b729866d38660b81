/** `version`. */
import type { Call, Command } from './command.ts';

/** Says which version this is. */
export const version: Command = {
  name: 'version',
  usage: '',
  summary: 'say which version this is',
  returns: 'version',
  flags: [],
  async run({ arguments: words, output, system }: Call): Promise<void> {
    words.atMost(0);
    await output.succeed({ version: system.version }, system.version);
  },
};
