/** `trust`: who may speak to the agent. */
import { formatAddress } from '../wire/address.ts';
import { AGENT_FLAGS } from './agents.ts';
import { formatTable, formatTime } from './columns.ts';
import type { Call, Command } from './command.ts';
import { withControl } from './controls.ts';
import { numberOf, rowsOf, textOf } from './rows.ts';

/** Lists trusted nodes. */
export const trust: Command = {
  name: 'trust',
  usage: '',
  summary: 'list who is trusted',
  returns: 'trusted[node_id, public_key, approved_at, mutual, network]',
  flags: AGENT_FLAGS,
  async run(call: Call): Promise<void> {
    call.arguments.atMost(0);
    await withControl(call, async ({ control }) => {
      const answer = await control.trusted();
      const rows = rowsOf(answer, 'trusted').map((node) => [
        textOf(node, 'node_id'),
        formatAddress(0, numberOf(node, 'node_id')),
        formatTime(numberOf(node, 'approved_at')),
        node.mutual === true ? 'both asked' : '',
      ]);
      await call.output.succeed(answer, formatTable(['node', 'address', 'since', ''], rows, 'Nobody is trusted'));
    });
  },
};
