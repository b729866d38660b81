/**
 * Whole worlds: real agents, the real registry and the real beacon on virtual machines, through the public API. Nothing
 * of the package is replaced but the runtime.
 */
import { Agent } from '../api/agent.ts';
import { openIdentity } from '../api/identity.ts';
import type { AgentOptions, AgentRuntime } from '../api/shapes.ts';
import { MeetingRoom, type Meetings } from '../driver/meeting.ts';
import { createMeetings } from '../driver/shared.ts';
import type { Driver, Owners, Shared } from '../driver.ts';
import type { Engine } from '../engine/engine.ts';
import { type RendezvousOptions, type RendezvousServer, serveRendezvous } from '../server/serve.ts';
import { VERSION } from '../version.ts';
import type { MachineOptions } from './machine.ts';
import { World, type WorldOptions } from './world.ts';

/** What worlds run on: the binding lends it. */
export interface SimulationRuntime {
  readonly jobs: WorldOptions['jobs'];
  /** Shared by all worlds of a process: runtimes bound how many Wasm memories may live. */
  readonly engine: Engine;
  readonly owners: Owners;
}

/** Options of `simulate`. */
export type SimulationOptions = Omit<WorldOptions, 'jobs'>;

/** An agent of a world: all options of a real one; the rendezvous is the world's unless it says otherwise. */
export interface VirtualAgentOptions extends Partial<AgentOptions> {
  /** Where it runs; omitted: on the internet, or on the machine of that name as it is. */
  readonly machine?: MachineOptions;
}

/** A world with a rendezvous and agents in it. */
export class Simulation {
  readonly world: World;
  readonly #runtime: SimulationRuntime;
  readonly #meetings: Meetings;
  readonly #drivers: Set<Driver> = new Set();
  #rendezvous: RendezvousServer | undefined;

  constructor(runtime: SimulationRuntime, options: SimulationOptions) {
    this.#runtime = runtime;
    this.#meetings = createMeetings(runtime.engine);
    this.world = new World({ ...options, jobs: runtime.jobs });
  }

  /** The rendezvous of this world; started at first use. @throws Error when it was not started. */
  get rendezvous(): RendezvousServer {
    if (this.#rendezvous === undefined) throw new Error('This world has no rendezvous: await serve() first');
    return this.#rendezvous;
  }

  /** Starts the rendezvous, or starts it again on the same ports: everybody there is forgotten. */
  async serve(options: RendezvousOptions = {}, machine?: MachineOptions): Promise<RendezvousServer> {
    const host = this.world.host('rendezvous', this.#rendezvous === undefined ? (machine ?? {}) : undefined);
    const advertiseHost = await host.resolve('rendezvous');
    this.#rendezvous = await this.world.finish(
      serveRendezvous(host, { port: 9000, listenHost: '0.0.0.0', advertiseHost, ...options }),
    );
    return this.#rendezvous;
  }

  /** Starts an agent. @param name - Of its machine; its host name at the rendezvous as well, unless options say otherwise. */
  async agent(name: string, options: VirtualAgentOptions = {}): Promise<Agent> {
    const { machine, ...rest } = options;
    const host = this.world.host(name, machine);
    const { engine, owners } = this.#runtime;
    const room = new MeetingRoom(this.#meetings);
    const shared: Shared = { host, engineName: engine.name, room, owners, drivers: this.#drivers };
    const runtime: AgentRuntime = {
      shared,
      version: VERSION,
      openIdentity: (identity) => openIdentity(host, '/home', identity),
    };
    const rendezvous = rest.rendezvous ?? this.rendezvous.url;
    return await this.world.finish(Agent.start(runtime, { hostname: name, insecure: true, ...rest, rendezvous }));
  }

  /** Lets `asker` and `giver` trust each other, as two operators would. */
  async befriend(asker: Agent, giver: Agent): Promise<void> {
    await this.world.finish(asker.trust.request(giver.address, 'simulated'));
    const hasAsked = (): boolean => giver.trust.pending().some(({ peer }) => peer.node === asker.nodeId);
    await this.world.runUntil(hasAsked);
    await this.world.finish(giver.trust.approve(asker.address));
    await this.world.finish(asker.trust.wait(giver.address));
  }

  /** Closes agents and the rendezvous, then waits until nothing is left. @throws Error naming what is left */
  async end(...agents: Agent[]): Promise<void> {
    await this.world.finish(Promise.all(agents.map((agent) => agent.close())));
    await this.world.finish(this.rendezvous.close());
    await this.world.elapse(30_000);
    this.world.assertQuiet();
    const { used } = this.#meetings.pool;
    if (used !== 0) throw new Error(`World with seed ${this.world.seed} still holds ${used} bytes`);
  }
}
