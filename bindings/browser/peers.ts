/** What a page loads when it first speaks with a peer: the engine, and all that streams and datagrams take. */
import type { Host } from '../../src/carrier/host.ts';
import type { Meetings } from '../../src/driver/meeting.ts';
import { createMeetings } from '../../src/driver/shared.ts';
import { loadWasmEngine } from '../../src/engine/wasm.ts';

/** Sessions of all agents of this page together (design: decision 2). */
const SESSIONS = 1_024;

/** Makes it. @throws WebAssembly.CompileError where the page may not run it. */
export async function loadMeetings(host: Host): Promise<Meetings> {
  return createMeetings(await loadWasmEngine({ sessions: SESSIONS }, (into) => host.random(into)));
}
