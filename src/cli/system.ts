/**
 * What a runtime lends to the command line. Nothing in src/cli/ knows a process, a file or a socket of its own, so that
 * every runtime with an implementation of this has all commands.
 */
import type { Agent } from '../api/agent.ts';
import type { AgentOptions } from '../api/shapes.ts';
import type { ControlClock, ControlHandler, ControlLink, ControlListener } from '../ipc/link.ts';
import type { RendezvousOptions, RendezvousServer } from '../server/serve.ts';

/** How the command line starts a rendezvous: with a certificate of its own, or in plaintext. */
export interface RendezvousChoice extends Omit<RendezvousOptions, 'tls'> {
  /** TLS beside plaintext; the certificate is made once and kept in `directory`, or is in files. */
  readonly tls?: true | { readonly certificateFile: string; readonly keyFile: string };
  readonly directory?: string;
  /** Serve the page by which people try it, too. */
  readonly hasDemoPage?: boolean;
}

/** Words, text, input, agents, servers and the control socket. */
export interface System extends ControlClock {
  /** What stands behind the program's name. */
  readonly words: readonly string[];
  readonly environment: { readonly [name: string]: string | undefined };
  readonly pid: number;
  readonly version: string;
  /** Where identities with a plain name live. */
  readonly home: string;
  /** An address by which others on its network reach this machine, if it has one. */
  readonly lanAddress: string | undefined;
  /** Somebody looks at the output: bytes of strangers must not steer the terminal. */
  readonly isTerminal: boolean;
  /** Fires when the process shall end: a signal, or ^C. */
  readonly signal: AbortSignal;
  /** Standard output. Resolves when it was taken. */
  writeOut(text: string | Uint8Array): Promise<void>;
  /** Standard error. */
  writeError(text: string): Promise<void>;
  /** Standard input to its end. */
  input(): AsyncIterable<Uint8Array>;
  startAgent(options: AgentOptions): Promise<Agent>;
  serveRendezvous(options: RendezvousChoice): Promise<RendezvousServer>;
  /** @throws PilotError when somebody else listens there, or others may enter the folder. */
  listenControl(path: string, accept: (link: ControlLink) => ControlHandler): Promise<ControlListener>;
  /** Undefined when nobody listens there. @throws PilotError when the socket belongs to another user. */
  connectControl(path: string, handler: ControlHandler): Promise<ControlLink | undefined>;
}
