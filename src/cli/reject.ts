/** `reject`: saying no to a request for trust. */
import { AGENT_FLAGS } from './agents.ts';
import type { Call, Command } from './command.ts';
import { withControl } from './controls.ts';

/** Refuses trust. */
export const reject: Command = {
  name: 'reject',
  usage: '<node_id|address|hostname> [reason]',
  summary: 'say no to an agent that asked for trust',
  returns: 'status, node_id',
  flags: AGENT_FLAGS,
  async run(call: Call): Promise<void> {
    const target = call.arguments.required(0, 'node_id|address|hostname');
    await withControl(call, async ({ control, nodeIdOf }) => {
      await call.output.succeed(
        await control.reject(await nodeIdOf(target), call.arguments.rest(1)),
        `The request of ${target} was rejected`,
      );
    });
  },
};
