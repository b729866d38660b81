/** `pending`: who asks for trust. */
import { formatAddress } from '../wire/address.ts';
import { AGENT_FLAGS } from './agents.ts';
import { formatTable, formatTime } from './columns.ts';
import type { Call, Command } from './command.ts';
import { withControl } from './controls.ts';
import { numberOf, rowsOf, textOf } from './rows.ts';

/** Lists requests for trust. */
export const pending: Command = {
  name: 'pending',
  usage: '',
  summary: 'list who asks for trust',
  returns: 'pending[node_id, public_key, justification, received_at]',
  flags: AGENT_FLAGS,
  async run(call: Call): Promise<void> {
    call.arguments.atMost(0);
    await withControl(call, async ({ control }) => {
      const answer = await control.pending();
      const rows = rowsOf(answer, 'pending').map((request) => [
        textOf(request, 'node_id'),
        formatAddress(0, numberOf(request, 'node_id')),
        formatTime(numberOf(request, 'received_at')),
        textOf(request, 'justification'),
      ]);
      await call.output.succeed(
        answer,
        formatTable(['node', 'address', 'received', 'why'], rows, 'Nobody asks for trust'),
      );
    });
  },
};
