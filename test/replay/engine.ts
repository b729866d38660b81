/**
 * An engine that sends under the recorded prefixes. Core draws the top bit of a prefix by the order of the node ids
 * (DP 3.16), recorded peers draw all bits; so the prefix is put in place where core hands it to the engine.
 */

import type { Engine } from '../../src/engine/engine.ts';
import { toHex } from '../../src/wire/base64.ts';

/**
 * Puts recorded prefixes in the place of those that core drew.
 *
 * @param prefixes - By hex of the key, in the order of use; where they are used up, core's own choice stays.
 */
export function withPrefixes(engine: Engine, prefixes: ReadonlyMap<string, readonly number[]>): Engine {
  const used = new Map<string, number>();
  return {
    name: engine.name,
    memory: engine.memory,
    receive: engine.receive,
    transmit: engine.transmit,
    get sessionCount() {
      return engine.sessionCount;
    },
    claimReceive: (length) => engine.claimReceive(length),
    releaseReceive: (ptr) => engine.releaseReceive(ptr),
    claimTransmit: (length) => engine.claimTransmit(length),
    hasTransmit: (length) => engine.hasTransmit(length),
    releaseTransmit: (ptr) => engine.releaseTransmit(ptr),
    install: (session) => {
      const name = toHex(session.key);
      const count = used.get(name) ?? 0;
      used.set(name, count + 1);
      return engine.install({ ...session, prefix: prefixes.get(name)?.[count] ?? session.prefix });
    },
    wipe: (session) => engine.wipe(session),
    sealed: (session) => engine.sealed(session),
    open: (owner, count) => engine.open(owner, count),
    seal: (count) => engine.seal(count),
  };
}
