/**
 * What Deno does not allow, in our words: `NOT_PERMITTED`, with the flag to add in the hint. Deno throws `NotCapable`
 * from most of Node's modules, `EPERM` from look-ups, and where a server is to listen it throws past everybody.
 */
import type { Files, Host, Link, LinkHandler, LinkTarget } from '../../src/carrier/host.ts';
import { PilotError } from '../../src/errors.ts';
import { type FoundAddon, findAddon } from '../node/addon.ts';

const NET = '--allow-net';
const FILES = '--allow-read --allow-write';

/** What of Deno is used here. */
declare const Deno: {
  readonly permissions: {
    querySync(what: { readonly name: string; readonly variable?: string }): { readonly state: string };
    /** Asks the user where there is one to ask. */
    request(what: { readonly name: 'net'; readonly host: string }): Promise<{ readonly state: string }>;
  };
};

/** The addon, where Deno allows it without a question: it is nothing that anybody would want to be asked for. */
export function findAllowedAddon(): FoundAddon {
  const isAllowed = (name: string): boolean => Deno.permissions.querySync({ name }).state === 'granted';
  const missing = ['ffi', 'read'].find((name) => !isAllowed(name));
  if (missing !== undefined) return `needs --allow-${missing}`;
  const { state } = Deno.permissions.querySync({ name: 'env', variable: 'PILOTWIRE_ADDON' });
  return state === 'granted' ? findAddon() : findAddon('');
}

/** The same host, with errors that say what to add to the command line. */
export function withPermissions(host: Host): Host {
  return {
    ...host,
    resolve: (name) => explained(NET, host.resolve(name)),
    bindUdp: (udp) => explained(NET, host.bindUdp(udp)),
    connectLink: (target, handler) => connectLink(host, target, handler),
    listenLink: async (listen, accept) => {
      const where = `${listen.host.includes(':') ? `[${listen.host}]` : listen.host}:${listen.port}`;
      const { state } = await Deno.permissions.request({ name: 'net', host: where });
      if (state !== 'granted') throw notPermitted(`Cannot listen on ${where}: Deno does not allow it`, NET);
      return await host.listenLink(listen, accept);
    },
    files: explainedFiles(host.files),
  };
}

function connectLink(host: Host, target: LinkTarget, handler: LinkHandler): Link {
  return host.connectLink(target, {
    open: () => handler.open(),
    data: (bytes) => handler.data(bytes),
    drain: () => handler.drain(),
    closed: (error) => handler.closed(error === undefined ? undefined : (explain(NET, error) as Error)),
  });
}

function explainedFiles(files: Files): Files {
  return {
    read: (path, options) => explained(FILES, files.read(path, options)),
    writeAtomic: (path, bytes) => explained(FILES, files.writeAtomic(path, bytes)),
    lock: (path) => explained(FILES, files.lock(path)),
  };
}

/** The same promise, with such errors. @param flags - What to add when Deno itself does not say. */
export async function explained<T>(flags: string, promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw explain(flags, error);
  }
}

function explain(flags: string, error: unknown): unknown {
  if (error instanceof PilotError && error.code === 'NOT_PERMITTED') return error;
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const isDenied = cause.name === 'NotCapable' || /^getaddrinfo EPERM/.test(cause.message);
    if (!isDenied) continue;
    const flag = /--[a-z-]+/.exec(cause.message)?.[0] ?? flags;
    const action =
      error instanceof PilotError ? error.message : `Cannot start: ${cause.message.replace(/, run again.*/, '')}`;
    return notPermitted(action, flag, cause);
  }
  return error;
}

function notPermitted(message: string, flags: string, cause?: unknown): PilotError {
  return new PilotError('NOT_PERMITTED', message, { cause, hint: `deno run ${flags} …` });
}
