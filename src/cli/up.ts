/** `up`: an agent that stays, with a control socket for the other commands, until it is told to end. */
import type { Agent } from '../api/agent.ts';
import type { Diagnostic } from '../api/shapes.ts';
import { PilotError } from '../errors.ts';
import { AgentControl } from '../ipc/agent-control.ts';
import type { ControlListener } from '../ipc/link.ts';
import { ControlServer } from '../ipc/server.ts';
import { formatAddress } from '../wire/address.ts';
import { AGENT_FLAGS, identityOf, startAgent } from './agents.ts';
import { alignColumns } from './columns.ts';
import type { Call, Command } from './command.ts';
import { controlPath, SERVICE_PORTS } from './controls.ts';
import { untilStopped } from './stop.ts';

/** Runs an agent. */
export const up: Command = {
  name: 'up',
  usage: '',
  summary: 'run an agent until ^C; info, peers, connections and the commands for trust then speak to it',
  details: 'Other commands start an agent of their own, and so need another --identity while this one runs.',
  returns: 'node_id, address, hostname, identity, pid, socket',
  flags: [
    ...AGENT_FLAGS,
    { name: 'auto-approve', about: 'everybody who asks for trust gets it' },
    { name: 'no-echo', about: 'no echo on port 7, which `bench` needs' },
  ],
  async run(call: Call): Promise<void> {
    const { arguments: words, system } = call;
    words.atMost(0);
    const path = controlPath(call);
    const hasEcho = !words.isSet('no-echo');
    // The identity is locked from here on, so whatever is at `path` belongs to nobody that lives.
    const agent = await startAgent(call, { autoApprove: words.isSet('auto-approve'), echo: hasEcho });
    const ports = SERVICE_PORTS.trust + (hasEcho ? SERVICE_PORTS.echo : 0);
    const control = new AgentControl({ agent, now: system.now, version: system.version, ports });
    const server = new ControlServer(control, system);
    let listener: ControlListener | undefined;
    try {
      listener = await listen(call, path, server);
      await tell(call, agent, listener === undefined ? '' : path);
      await untilStopped(system.signal);
    } finally {
      await listener?.close();
      server.close();
      await agent.close();
    }
  },
};

/** Undefined where the system has no control sockets: the agent runs all the same. */
async function listen(call: Call, path: string, server: ControlServer): Promise<ControlListener | undefined> {
  try {
    return await call.system.listenControl(path, (link) => server.accept(link));
  } catch (error) {
    if (!(error instanceof PilotError) || error.code !== 'NOT_SUPPORTED') throw error;
    await call.output.note(error.message);
    return undefined;
  }
}

async function tell(call: Call, agent: Agent, socket: string): Promise<void> {
  const { output, system } = call;
  const identity = identityOf(call);
  const hostname = agent.hostname ?? '';
  const data = { node_id: agent.nodeId, address: agent.address, hostname, identity, pid: system.pid, socket };
  const rows = [
    ['address', agent.address.toString()],
    ['node id', `${agent.nodeId}`],
    ...(hostname === '' ? [] : [['hostname', hostname]]),
    ['identity', identity],
    ...(socket === '' ? [] : [['socket', socket]]),
  ];
  await output.succeed(data, alignColumns(rows));
  agent.on('diagnostics', (news) => void output.note(sentenceOf(news)));
}

function sentenceOf({ code, facts }: Diagnostic): string {
  const peer = typeof facts.peer === 'number' ? facts.peer : 0;
  if (code === 'trust.pending') {
    return `${formatAddress(0, peer)} asks for trust: \`pilotwire pending\` shows why, \`pilotwire approve ${peer}\` lets it in`;
  }
  const details = Object.entries(facts).map(([name, value]) => `${name} ${value}`);
  return [code, ...details].join('  ');
}
