/** `info`: what an agent knows of itself. */
import { AGENT_FLAGS } from './agents.ts';
import { alignColumns, count } from './columns.ts';
import type { Call, Command } from './command.ts';
import { withControl } from './controls.ts';

/** Shows the agent. */
export const info: Command = {
  name: 'info',
  usage: '',
  summary: 'show the agent: address, key, traffic',
  returns: "the agent's own Info object",
  flags: AGENT_FLAGS,
  async run(call: Call): Promise<void> {
    call.arguments.atMost(0);
    await withControl(call, async ({ control, isRunning }) => {
      const answer = await control.info();
      const text = (key: string): string => `${answer[key] ?? ''}`;
      const traffic = (way: string): string =>
        `${text(`bytes_${way}`)} bytes in ${count(Number(answer[`pkts_${way}`]), 'datagram')}`;
      const rows = [
        ['address', text('address')],
        ['node id', text('node_id')],
        ['hostname', text('hostname') || '-'],
        ['public key', text('public_key')],
        ['running', isRunning ? `for ${Math.floor(Number(answer.uptime_secs))} s` : 'only for this command'],
        ['peers', `${text('peers')}, ${text('encrypted_peers')} encrypted, ${text('relay_peer_count')} by relay`],
        ['connections', text('connections')],
        ['requests', `${text('handshake_pending_count')} for trust`],
        ['sent', traffic('sent')],
        ['received', traffic('recv')],
        ['version', text('version')],
      ];
      await call.output.succeed(answer, alignColumns(rows));
    });
  },
};
