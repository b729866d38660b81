/** `rendezvous`: a registry and its beacon in this process, until it is told to end. */
import type { Millis } from '../config.ts';
import type { RendezvousServer } from '../server/serve.ts';
import type { Flag } from './arguments.ts';
import { alignColumns } from './columns.ts';
import type { Call, Command } from './command.ts';
import { CommandError } from './failure.ts';
import { untilStopped } from './stop.ts';
import type { RendezvousChoice } from './system.ts';

/** The registry's port of the existing network (CP 0.3); the beacon has the next one. */
const PORT = 9_000;
const PORTS = { least: 0, most: 65_535 } as const;
const STALE_MS: Millis = 1_800_000;
const EVERYWHERE = ['0.0.0.0', '::'];

const FLAGS: readonly Flag[] = [
  { name: 'port', value: 'PORT', about: `TCP; default ${PORT}, 0 for any free one` },
  { name: 'host', value: 'ADDRESS', about: 'address to listen on; default 127.0.0.1' },
  { name: 'beacon-port', value: 'PORT', about: 'UDP; default the port after --port' },
  {
    name: 'advertise',
    value: 'HOST',
    about: 'host that agents know this machine by; default --host, or the first of this machine',
  },
  { name: 'tls', about: 'TLS with a certificate of its own; the URL pins it' },
  { name: 'tls-cert', value: 'PATH', about: 'TLS with this certificate (PEM) instead; needs --tls-key' },
  { name: 'tls-key', value: 'PATH', about: 'its private key (PEM)' },
  {
    name: 'allow-origin',
    value: 'ORIGIN',
    about: 'pages that may come over WebSockets, such as https://example.org; several with commas, * for all',
  },
  { name: 'trust-proxy', about: 'believe X-Forwarded-For of a reverse proxy on this machine' },
  { name: 'directory', value: 'PATH', about: 'where the certificate is kept; default <home>/rendezvous' },
  { name: 'admin-token', value: 'TOKEN', about: 'allows the requests of administrators' },
  { name: 'beacon-secret', value: 'SECRET', about: 'allows other beacons to join' },
  { name: 'strict-directory', about: 'private agents are hidden from all but those they trust' },
  { name: 'strict-registration', about: 'only signed registrations' },
  { name: 'demo-page', about: 'also serve a page on which people try it: chat and files between two browsers' },
  { name: 'stale', value: 'DURATION', about: 'how long an agent may be silent; default 30m' },
];

/** Serves a rendezvous. */
export const rendezvous: Command = {
  name: 'rendezvous',
  usage: '',
  summary: 'serve a registry and a beacon until ^C; prints the URL first',
  returns: 'url, webUrl, pageUrl (with --demo-page), port, beaconPort, pid',
  flags: FLAGS,
  async run(call: Call): Promise<void> {
    call.arguments.atMost(0);
    const choice = choiceOf(call);
    const server = await call.system.serveRendezvous(choice);
    try {
      await tell(call, server, choice.hasDemoPage === true);
      await untilStopped(call.system.signal);
    } finally {
      await server.close();
    }
  },
};

function choiceOf({ arguments: words, system }: Call): RendezvousChoice {
  const host = words.text('host') ?? '127.0.0.1';
  // "All addresses" is none that an agent could use.
  const isEverywhere = EVERYWHERE.includes(host);
  const advertiseHost = words.text('advertise') ?? (isEverywhere ? system.lanAddress : undefined);
  if (isEverywhere && advertiseHost === undefined) {
    throw new CommandError('invalid_argument', `Which host shall agents use? --host ${host} is all addresses`, {
      hint: 'add --advertise with a name or an address that they reach',
    });
  }
  const beaconPort = words.text('beacon-port') === undefined ? undefined : portOf('beacon-port', 0, words);
  const adminToken = words.text('admin-token') ?? system.environment.PILOT_ADMIN_TOKEN;
  const beaconSecret = words.text('beacon-secret');
  const directory = words.text('directory') ?? `${system.home}/rendezvous`;
  return {
    port: portOf('port', PORT, words),
    listenHost: host,
    ...(beaconPort === undefined ? {} : { beaconPort }),
    ...(advertiseHost === undefined ? {} : { advertiseHost }),
    ...tlsOf(words, directory),
    allowedOrigins: words.list('allow-origin') ?? [],
    trustProxy: words.isSet('trust-proxy'),
    ...(adminToken ? { adminToken } : {}),
    ...(beaconSecret === undefined ? {} : { beaconSecret }),
    strictDirectory: words.isSet('strict-directory'),
    strictRegistration: words.isSet('strict-registration'),
    ...(words.isSet('demo-page') ? { hasDemoPage: true } : {}),
    staleMs: words.duration('stale', STALE_MS),
  };
}

function tlsOf(words: Call['arguments'], directory: string): Pick<RendezvousChoice, 'tls' | 'directory'> {
  const certificateFile = words.text('tls-cert');
  const keyFile = words.text('tls-key');
  if ((certificateFile === undefined) !== (keyFile === undefined)) {
    throw new CommandError('invalid_argument', 'A certificate needs its key: give both --tls-cert and --tls-key');
  }
  if (certificateFile !== undefined && keyFile !== undefined) return { tls: { certificateFile, keyFile } };
  return words.isSet('tls') ? { tls: true, directory } : {};
}

function portOf(name: string, fallback: number, words: Call['arguments']): number {
  return words.integer(name, { ...PORTS, fallback });
}

/** The URL stands alone on the first line, so that a script can take it. */
async function tell({ output, system }: Call, server: RendezvousServer, hasDemoPage: boolean): Promise<void> {
  const { url, webUrl, port, beaconPort } = server;
  // A pin is for agents; browsers go by their own list of certificates.
  const page = hasDemoPage ? { pageUrl: `${webUrl.replace(/^ws/, 'http').replace(/#.*$/, '')}/` } : {};
  await output.succeed({ url, webUrl, ...page, port, beaconPort, pid: system.pid }, url);
  const rows = [
    ['registry', `TCP port ${port}`],
    ['beacon', `UDP port ${beaconPort}`],
    ['WebSockets', webUrl],
    ...(page.pageUrl === undefined ? [] : [['page', page.pageUrl]]),
    ['next', `pilotwire up --rendezvous '${url}' --identity NAME --hostname NAME`],
  ];
  await output.note(alignColumns(rows));
}
