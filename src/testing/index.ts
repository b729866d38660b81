/**
 * The simulator: a world with virtual time, NATs and loss, in which this package runs unchanged.
 */
export { Clock, type ClockEvent } from './clock.ts';
export { Disk } from './files.ts';
export { VirtualHost } from './host.ts';
export { Line, type LineDrop, type LineOptions } from './line.ts';
export { Machine, type MachineOptions } from './machine.ts';
export { type Dependence, Nat, type NatDrop, type NatOptions } from './nat.ts';
export type { Arrival, Drop, NetworkCount, TraceEntry } from './network.ts';
export { Random } from './random.ts';
export { Simulation, type SimulationOptions, type VirtualAgentOptions } from './simulate.ts';
export type { Gateway, GatewayOptions, LinesOptions, StationOptions } from './topology.ts';
export { World, type WorldOptions, type WorldStats } from './world.ts';
