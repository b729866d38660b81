/** The table of commands, in the order of the help. */
import { approve } from './approve.ts';
import { bench } from './bench.ts';
import type { Command } from './command.ts';
import { connect } from './connect.ts';
import { connections } from './connections.ts';
import { explain } from './explain.ts';
import { find } from './find.ts';
import { handshake } from './handshake.ts';
import { help } from './help.ts';
import { info } from './info.ts';
import { peers } from './peers.ts';
import { pending } from './pending.ts';
import { ping } from './ping.ts';
import { recv } from './recv.ts';
import { reject } from './reject.ts';
import { rendezvous } from './rendezvous.ts';
import { send } from './send.ts';
import { trust } from './trust.ts';
import { untrust } from './untrust.ts';
import { up } from './up.ts';
import { version } from './version.ts';

/** All of them. */
export const COMMANDS: readonly Command[] = [
  rendezvous,
  up,
  ...[info, peers, connections],
  ...[find, explain, ping, bench],
  ...[handshake, pending, approve, reject, trust, untrust],
  ...[connect, send, recv],
  ...[help, version],
];
