import { defineConfig } from 'vitest/config';

// Node 20 has relaxed SIMD behind a flag that later versions no longer know; with it both builds of the engine are tested.
const isOldNode = Number.parseInt(process.versions.node, 10) < 22;

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/setup.mjs'],
    execArgv: isOldNode ? ['--experimental-wasm-relaxed-simd'] : [],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
  },
});
