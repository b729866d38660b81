/** `peers`: whom the agent spoke to lately. */
import { formatAddress } from '../wire/address.ts';
import { AGENT_FLAGS } from './agents.ts';
import { formatTable } from './columns.ts';
import type { Call, Command } from './command.ts';
import { withControl } from './controls.ts';
import { numberOf, rowsOf, textOf } from './rows.ts';

/** Lists peers. */
export const peers: Command = {
  name: 'peers',
  usage: '',
  summary: 'list whom the agent spoke to lately, and how',
  returns: 'peers[node_id, encrypted, authenticated, relay, path, path_reason, trusted], total',
  flags: [...AGENT_FLAGS, { name: 'search', value: 'TEXT', about: 'only those whose id, address or endpoint has it' }],
  async run(call: Call): Promise<void> {
    call.arguments.atMost(0);
    const search = call.arguments.text('search') ?? '';
    await withControl(call, async ({ control }) => {
      const all = rowsOf(await control.info(), 'peer_list');
      const found = all.filter((peer) =>
        [textOf(peer, 'node_id'), addressOf(peer), textOf(peer, 'endpoint')].some((text) => text.includes(search)),
      );
      const rows = found.map((peer) => [
        textOf(peer, 'node_id'),
        addressOf(peer),
        peer.encrypted === true ? 'yes' : 'no',
        peer.trusted === true ? 'yes' : 'no',
        textOf(peer, 'path') || (peer.relay === true ? 'relay' : 'direct'),
        textOf(peer, 'path_reason'),
      ]);
      const headings = ['node', 'address', 'encrypted', 'trusted', 'path', 'because'];
      await call.output.succeed({ peers: found, total: found.length }, formatTable(headings, rows, 'No peers'));
    });
  },
};

function addressOf(peer: Parameters<typeof numberOf>[0]): string {
  return formatAddress(0, numberOf(peer, 'node_id'));
}
