/** `pilotwire/testing` in Node: simulated worlds with real cryptography. */
import { Owners } from '../../src/driver.ts';
import { Simulation, type SimulationOptions, type SimulationRuntime } from '../../src/testing/simulate.ts';
import { createEngine } from './engine.ts';
import { createNodeHost } from './host.ts';
import { createPublicKeyJobs } from './keys.ts';

export * from '../../src/testing/index.ts';

let runtime: SimulationRuntime | undefined;

/** Makes a world: put a rendezvous and agents into it, and let time pass. The same seed gives the same world. */
export function simulate(options: SimulationOptions): Simulation {
  if (runtime === undefined) {
    const host = createNodeHost({ unref: true });
    const engine = createEngine((into) => host.random(into));
    runtime = { jobs: createPublicKeyJobs(), engine, owners: new Owners() };
  }
  return new Simulation(runtime, options);
}
