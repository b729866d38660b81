/**
 * The suite that every engine passes: `engineSuite(name, create)`. Files `*.test.ts` beside it run it for the plain twin
 * and for the builds of the Wasm module.
 */
import { describe } from 'vitest';
import { differentialTests } from './differential.ts';
import { epochTests } from './epochs.ts';
import { frameTests } from './frames.ts';
import type { CreateEngine, Spend } from './rig.ts';
import { sessionTests } from './sessions.ts';
import { vectorTests } from './vectors.ts';

/** Runs every test of the engine contract against engines that `create` makes. */
export function engineSuite(name: string, create: CreateEngine, spend: Spend): void {
  describe(`${name}: vectors`, () => vectorTests(create, spend));
  describe(`${name}: frames`, () => frameTests(create));
  describe(`${name}: epochs and windows`, () => epochTests(create));
  describe(`${name}: sessions and slots`, () => sessionTests(create, spend));
  if (name !== 'reference') describe(`${name}: agrees with the plain twin`, () => differentialTests(create));
}
