/** `approve`: saying yes to a request for trust. */
import { AGENT_FLAGS } from './agents.ts';
import type { Call, Command } from './command.ts';
import { withControl } from './controls.ts';

/** Grants trust. */
export const approve: Command = {
  name: 'approve',
  usage: '<node_id|address|hostname>',
  summary: 'let an agent in that asked for trust',
  returns: 'status, node_id',
  flags: AGENT_FLAGS,
  async run(call: Call): Promise<void> {
    const target = call.arguments.required(0, 'node_id|address|hostname');
    await withControl(call, async ({ control, nodeIdOf }) => {
      await call.output.succeed(await control.approve(await nodeIdOf(target)), `${target} is trusted now`);
    });
  },
};
