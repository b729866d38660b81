// The contract of a Host (src/carrier/host.ts) on the runtime that runs this file, bundled: what the tests of
// bindings/node say of Node, for runtimes whose Node modules are their own.
import { rmSync } from 'node:fs';
import { End, links } from './links.ts';
import { argument, directory, host, LOOPBACK, role, say, until } from './step.ts';
import { files, jobs, timers } from './system.ts';
import { Ear, udp } from './udp.ts';

/** Opens one of everything, then has nothing to do. */
async function openAll(): Promise<void> {
  await host.bindUdp({ port: 0, handler: new Ear() });
  host.setTimer(600_000, () => {});
  const keep = setInterval(() => {}, 1000);
  let isAccepted = false;
  const server = await host.listenLink({ host: LOOPBACK, port: 0 }, () => {
    isAccepted = true;
    return new End();
  });
  host.connectLink(server.local, new End()).write(new Uint8Array(1));
  await until(() => isAccepted);
  clearInterval(keep);
  say({ open: true });
}

if (role === 'lock') {
  await host.files.lock(argument);
  say({ locked: true });
  process.stdin.resume();
} else if (role === 'unref') {
  await openAll();
} else {
  say({ runtime: host.runtime });
  await udp();
  await links();
  await files(process.argv[1]!);
  await jobs();
  await timers();
}
rmSync(directory, { recursive: true, force: true });
