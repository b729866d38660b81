/** `find`: an agent by name, or agents by tag. */
import type { FoundAgent } from '../api/shapes.ts';
import { AGENT_FLAGS, withAgent } from './agents.ts';
import { alignColumns, formatTable } from './columns.ts';
import type { Call, Command } from './command.ts';
import { CommandError } from './failure.ts';

/** Finds agents. */
export const find: Command = {
  name: 'find',
  usage: '<hostname> | --tag TAG',
  summary: 'find an agent by name, or agents by tag',
  details: 'Only those show themselves that are public, trust you, or share a network with you.',
  returns: 'hostname, node_id, address, public, tags; with --tag: tag, agents[the same], total',
  flags: [...AGENT_FLAGS, { name: 'tag', value: 'TAG', about: 'all agents that have it' }],
  async run(call: Call): Promise<void> {
    const { arguments: words, output } = call;
    const tag = words.text('tag');
    if (tag === undefined) {
      words.atMost(1);
      const target = words.required(0, 'hostname');
      const found = await withAgent(call, (agent) => agent.find(target));
      const rows = [
        ['address', found.address.toString()],
        ['node id', `${found.nodeId}`],
        ['hostname', found.hostname ?? '-'],
        ['visible', visibilityOf(found)],
        ['tags', found.tags.join(', ') || '-'],
      ];
      await output.succeed(dataOf(found), alignColumns(rows));
      return;
    }
    if (words.optional(0) !== undefined) {
      throw new CommandError('invalid_argument', 'Cannot find by name and by tag: want one of them');
    }
    const agents = await withAgent(call, (agent) => agent.find({ tag }));
    const rows = agents.map((found) => [
      `${found.nodeId}`,
      found.address.toString(),
      found.hostname ?? '-',
      visibilityOf(found),
      found.tags.join(', '),
    ]);
    const table = formatTable(['node', 'address', 'hostname', 'visible', 'tags'], rows, `Nobody has the tag ${tag}`);
    await output.succeed({ tag, agents: agents.map(dataOf), total: agents.length }, table);
  },
};

function dataOf({ hostname, nodeId, address, isPublic, tags }: FoundAgent): { readonly [key: string]: unknown } {
  return { hostname: hostname ?? '', node_id: nodeId, address, public: isPublic, tags };
}

function visibilityOf({ isPublic }: FoundAgent): string {
  return isPublic ? 'public' : 'private';
}
