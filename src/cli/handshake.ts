/** `handshake`: asking another agent for trust. */
import type { Millis } from '../config.ts';
import { WAIT_MAX_MS } from '../ipc/control.ts';
import { AGENT_FLAGS } from './agents.ts';
import type { Call, Command } from './command.ts';
import { withControl } from './controls.ts';
import { CommandError } from './failure.ts';
import { textOf } from './rows.ts';

/** An agent of our own lives for as long as we wait: the request must get through, and be remembered. */
const OWN_WAIT_MS: Millis = 3_000;

const LATER_RUNNING = '`pilotwire trust` shows when it comes';
const LATER = 'Ask again to hear it, or let `pilotwire up` wait for it';

/** Asks for trust. */
export const handshake: Command = {
  name: 'handshake',
  usage: '<node_id|address|hostname> [justification]',
  summary: 'ask an agent for trust',
  returns: 'status (sent, in_flight, already_trusted), node_id; with --wait, or when no `up` runs, also trusted',
  flags: [
    ...AGENT_FLAGS,
    {
      name: 'wait',
      value: 'DURATION',
      about: 'wait for the answer, at most 30s; default 0s, without a running `up` 3s',
    },
  ],
  async run(call: Call): Promise<void> {
    const { arguments: words, output } = call;
    const target = words.required(0, 'node_id|address|hostname');
    const askedMs = words.duration('wait', 0);
    if (askedMs > WAIT_MAX_MS) {
      throw new CommandError('invalid_argument', 'Cannot wait that long: --wait has at most 30s');
    }
    await withControl(call, async ({ control, isRunning, nodeIdOf }) => {
      const nodeId = await nodeIdOf(target);
      const answer = await control.request(nodeId, words.rest(1));
      const status = textOf(answer, 'status');
      const waitMs = isRunning ? askedMs : Math.max(askedMs, OWN_WAIT_MS);
      if (waitMs === 0 || status === 'already_trusted') {
        const text =
          status === 'already_trusted' ? `${target} is trusted already` : `The request to ${target} is under way`;
        await output.succeed(answer, text);
        return;
      }
      const { trusted } = await control.wait(nodeId, waitMs);
      const text =
        trusted === true
          ? `${target} said yes`
          : `The request went to ${target}; no yes so far. ${isRunning ? LATER_RUNNING : LATER}`;
      await output.succeed({ ...answer, trusted }, text);
    });
  },
};
