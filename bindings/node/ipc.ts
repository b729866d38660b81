/**
 * The control socket in Node: a Unix socket that only its user may open. It is bound under another name, in a folder
 * that nobody else may enter, and renamed into place with its mode set (CP 5.1), so that it is never open to others and
 * never half there. Node has no peer credentials; the folder and both ends' look at the owner stand in for them.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, renameSync, type Stats, statSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { PilotError } from '../../src/errors.ts';
import type { ControlHandler, ControlLink, ControlListener } from '../../src/ipc/link.ts';

const DIRECTORY_MODE = 0o700;
const SOCKET_MODE = 0o600;
const OTHERS_MAY = 0o077;
/** The name under which the socket is bound; not longer than the one it gets. */
const TEMPORARY_BYTES = 4;
/** What `sockaddr_un` holds on the narrowest system (macOS), without the final zero. */
const PATH_MAX = 103;

/**
 * Listens at `path`, taking the place of a socket that a dead process left.
 *
 * @throws PilotError `PORT_IN_USE` when somebody answers there, `IDENTITY_INVALID` when others may enter the folder or
 *   the path does not do, `NOT_SUPPORTED` on Windows.
 */
export async function listenControl(
  path: string,
  accept: (link: ControlLink) => ControlHandler,
): Promise<ControlListener> {
  refuseSystem();
  refuseLongPath(path);
  refuseShared(dirname(path));
  const present = await connectControl(path, { data() {}, drain() {}, closed() {} });
  if (present !== undefined) {
    present.destroy();
    throw new PilotError('PORT_IN_USE', `Cannot listen at ${path}: another process answers there`);
  }
  const beside = join(dirname(path), `.p${randomBytes(TEMPORARY_BYTES).toString('hex')}`);
  const server = createServer((socket) => {
    const link = new SocketLink(socket);
    link.attach(accept(link));
  });
  try {
    await listening(server, beside);
    chmodSync(beside, SOCKET_MODE);
    renameSync(beside, path);
  } catch (cause) {
    server.close();
    throw pathError(`Cannot listen at ${path}`, cause);
  }
  // A failed accept (too many open files) concerns one client, not the server.
  server.on('error', () => {});
  return new Listener(server, path);
}

/**
 * Opens the socket at `path`.
 *
 * @returns Undefined when nothing is there, or nobody listens.
 * @throws PilotError `IDENTITY_INVALID` when it belongs to another user.
 */
export async function connectControl(path: string, handler: ControlHandler): Promise<ControlLink | undefined> {
  if (process.platform === 'win32') return undefined;
  refuseLongPath(path);
  try {
    // Another user could have put it there, to be told what we want of our agent (CP 5.7, I4).
    refuseForeign(path, lstatSync(path));
    const socket = connect(path);
    await connected(socket);
    const link = new SocketLink(socket);
    link.attach(handler);
    return link;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ECONNREFUSED' || code === 'ENOTSOCK') return undefined;
    throw pathError(`Cannot open ${path}`, cause);
  }
}

/** One socket of either side. */
class SocketLink implements ControlLink {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    // How it ended is no news for a local link: `close` follows.
    socket.on('error', () => {});
  }

  attach(handler: ControlHandler): void {
    this.#socket.on('data', (bytes) => handler.data(bytes));
    this.#socket.on('drain', () => handler.drain());
    this.#socket.once('close', () => handler.closed());
  }

  write(bytes: Uint8Array): boolean {
    return this.#socket.write(bytes);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

class Listener implements ControlListener {
  readonly #server: Server;
  readonly #path: string;
  /** Which file it is; numbers of files come again. */
  readonly #status: Stats;
  #isClosed = false;

  constructor(server: Server, path: string) {
    this.#server = server;
    this.#path = path;
    this.#status = lstatSync(path);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#server.close();
    try {
      const { ino, ctimeMs } = lstatSync(this.#path);
      // Not the one that a later agent put in its place.
      if (ino === this.#status.ino && ctimeMs === this.#status.ctimeMs) unlinkSync(this.#path);
    } catch {
      // Gone already.
    }
  }
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function connected(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve();
    });
  });
}

function refuseSystem(): void {
  if (process.platform !== 'win32') return;
  throw new PilotError('NOT_SUPPORTED', 'Cannot use a control socket: Windows has none that is private enough');
}

function refuseLongPath(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes <= PATH_MAX) return;
  throw new PilotError('IDENTITY_INVALID', `Cannot use ${path}: ${bytes} bytes, a socket's path has ${PATH_MAX}`, {
    hint: 'set PILOTWIRE_HOME to a shorter path',
  });
}

function refuseShared(directory: string): void {
  let status: Stats;
  try {
    mkdirSync(directory, { recursive: true, mode: DIRECTORY_MODE });
    status = statSync(directory);
  } catch (cause) {
    throw pathError(`Cannot use ${directory}`, cause);
  }
  refuseForeign(directory, status);
  if ((status.mode & OTHERS_MAY) === 0) return;
  const shown = (status.mode & 0o777).toString(8).padStart(4, '0');
  throw new PilotError('IDENTITY_INVALID', `Cannot listen in ${directory}: its mode is ${shown}, wanted 0700`, {
    hint: `others could command the agent: chmod 700 ${directory}`,
  });
}

function refuseForeign(path: string, status: Stats): void {
  const user = process.getuid?.();
  if (user === undefined || status.uid === user) return;
  throw new PilotError('IDENTITY_INVALID', `Cannot use ${path}: it belongs to user ${status.uid}, we are ${user}`);
}

function pathError(action: string, cause: unknown): PilotError {
  if (cause instanceof PilotError) return cause;
  const { code, message } = cause as NodeJS.ErrnoException;
  return new PilotError('IDENTITY_INVALID', `${action}: ${code ?? message}`, { cause });
}
