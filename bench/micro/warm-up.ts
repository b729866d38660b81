/**
 * Makes the engines fast before there are any times. V8 compiles Wasm again when it was called often enough, in a thread
 * that has to wait its turn on a busy machine; without this the first contest would pay for that.
 */
import { now } from './contest.ts';
import { BUILDS, makeEngine } from './engines.ts';
import { FrameRig } from './frames.ts';

const PACKET = 1234;
/** The sealer needs a slot of the 64 too. */
const BATCH = 32;
const TIMES = 4;
const WORK_MS = 100;
const PAUSE_MS = 200;

/** Seals and opens for a while. @returns What to keep: compiled code lives as long as an engine that it belongs to. */
export async function warmUp(): Promise<readonly FrameRig[]> {
  const rigs = BUILDS.map((build) => new FrameRig(makeEngine(build), PACKET));
  const work = rigs.map((rig) => ({ seal: rig.sealer(), receiver: rig.receiver(BATCH) }));
  for (let i = 0; i < TIMES; i++) {
    for (const { seal, receiver } of work) {
      const start = now();
      while (now() - start < WORK_MS) {
        seal(BATCH);
        receiver.prepare?.(BATCH);
        receiver.run(BATCH);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  return rigs;
}
