/** `untrust`: taking trust back. */
import { AGENT_FLAGS } from './agents.ts';
import type { Call, Command } from './command.ts';
import { withControl } from './controls.ts';

/** Ends trust. */
export const untrust: Command = {
  name: 'untrust',
  usage: '<node_id|address|hostname>',
  summary: 'end trust in an agent, and all that it has open',
  returns: 'status, node_id',
  flags: AGENT_FLAGS,
  async run(call: Call): Promise<void> {
    const target = call.arguments.required(0, 'node_id|address|hostname');
    await withControl(call, async ({ control, nodeIdOf }) => {
      await call.output.succeed(await control.revoke(await nodeIdOf(target)), `${target} is no longer trusted`);
    });
  },
};
