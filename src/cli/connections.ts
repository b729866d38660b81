/** `connections`: the agent's open streams. */
import { AGENT_FLAGS } from './agents.ts';
import { formatMillis, formatTable } from './columns.ts';
import type { Call, Command } from './command.ts';
import { withControl } from './controls.ts';
import { numberOf, rowsOf, textOf } from './rows.ts';

/** Lists connections. */
export const connections: Command = {
  name: 'connections',
  usage: '',
  summary: "list the agent's open connections",
  returns: 'connections[id, local_port, remote_addr, remote_port, bytes_sent, bytes_recv, srtt_ms, …], total',
  flags: AGENT_FLAGS,
  async run(call: Call): Promise<void> {
    call.arguments.atMost(0);
    await withControl(call, async ({ control }) => {
      const all = rowsOf(await control.info(), 'conn_list');
      const rows = all.map((connection) => [
        textOf(connection, 'id'),
        textOf(connection, 'local_port'),
        `${textOf(connection, 'remote_addr')}:${textOf(connection, 'remote_port')}`,
        textOf(connection, 'bytes_sent'),
        textOf(connection, 'bytes_recv'),
        formatMillis(numberOf(connection, 'srtt_ms')),
      ]);
      const headings = ['id', 'port', 'peer', 'sent', 'received', 'round trip'];
      await call.output.succeed({ connections: all, total: all.length }, formatTable(headings, rows, 'No connections'));
    });
  },
};
