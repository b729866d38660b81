/** What a page loads, minified and compressed, and when: a page is slow by what it loads. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build, type Metafile } from 'esbuild';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const DIST = join(ROOT, 'dist');
/**
 * Bytes after minify and gzip -9, the engine included: all that `Agent.start` loads, what the first peer loads besides, and
 * what browsers without the curves load at the start. Each is what it came to, and a little; 45 000 are wanted at the start.
 */
const MOST = { start: 31_200, firstPeer: 54_500, noble: 17_500 } as const;

type Outputs = Metafile['outputs'];

/** A file with all that it imports at once; what is in `seen` was loaded before. */
function closure(name: string, outputs: Outputs, seen: Set<string>): string[] {
  if (seen.has(name)) return [];
  seen.add(name);
  const imports = outputs[name]!.imports.filter(({ kind }) => kind === 'import-statement');
  return [name, ...imports.flatMap(({ path }) => closure(path, outputs, seen))];
}

/** What a bundler makes of an import of the agent: bytes of each file, and which loads which. */
async function bundled(): Promise<{ outputs: Outputs; bytes: Map<string, number> }> {
  const { metafile, outputFiles } = await build({
    stdin: { contents: "export { Agent } from 'pilotwire'", resolveDir: ROOT, sourcefile: 'page.js' },
    absWorkingDir: ROOT,
    conditions: ['browser'],
    platform: 'browser',
    bundle: true,
    splitting: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    outdir: 'page',
    write: false,
    metafile: true,
    logLevel: 'error',
  });
  const sizes = outputFiles.map(({ path, contents }) => {
    return [path.slice(ROOT.length), gzipSync(contents, { level: 9 }).length] as const;
  });
  return { outputs: metafile.outputs, bytes: new Map(sizes) };
}

test('all that Agent.start loads in a page, what the first peer loads, and the chunk without the curves', async () => {
  const { outputs, bytes } = await bundled();
  const chunk = (prefix: string): string => {
    const found = Object.keys(outputs).filter((name) => {
      return Object.keys(outputs[name]!.inputs).some((input) => input.startsWith(`dist/${prefix}`));
    });
    expect(found).toHaveLength(1);
    return found[0]!;
  };
  const seen = new Set<string>();
  const weigh = (name: string): number => {
    return closure(name, outputs, seen).reduce((sum, file) => sum + bytes.get(file)!, 0);
  };
  const start = weigh(Object.keys(outputs).find((name) => outputs[name]!.entryPoint === 'page.js')!);
  const firstPeer = weigh(chunk('browser-peers-'));
  const noble = weigh(chunk('browser-noble-keys-'));
  console.log(
    `Agent.start loads ${start} bytes, the first peer ${firstPeer}; without Ed25519 or X25519 in WebCrypto ${noble} more (min+gzip)`,
  );
  expect(seen.size).toBe(Object.keys(outputs).length);
  expect(start).toBeLessThanOrEqual(MOST.start);
  expect(firstPeer).toBeLessThanOrEqual(MOST.firstPeer);
  expect(noble).toBeLessThanOrEqual(MOST.noble);
});

test.each([
  ['browser', 'dist/browser.js'],
  ['worker', 'dist/browser.js'],
  ['node', 'dist/index.js'],
])('a bundler takes the right build by the condition %s', async (condition, wanted) => {
  const { metafile } = await build({
    stdin: { contents: "export { Agent } from 'pilotwire'", resolveDir: ROOT },
    absWorkingDir: ROOT,
    conditions: [condition],
    platform: 'neutral',
    bundle: true,
    format: 'esm',
    write: false,
    metafile: true,
    external: ['node:*', 'ws', '@peculiar/x509'],
    logLevel: 'error',
  });
  expect(Object.keys(metafile.inputs)).toContain(wanted);
});

/** Sources of a file of dist/, as its map has them. */
function sourcesOf(name: string): string[] {
  const map = JSON.parse(readFileSync(join(DIST, `${name}.map`), 'utf8')) as { sources: string[] };
  return map.sources.map((source) => source.replace(/^(\.\.\/)+/, ''));
}

test('curves, engine and streams are where only those get them who need them', () => {
  const files = readdirSync(DIST).filter((name) => /^browser.*\.js$/.test(name));
  const holders = (source: string): string[] => {
    return files.filter((name) => sourcesOf(name).includes(source)).map((name) => name.replace(/-\w+\.js$/, ''));
  };
  expect(holders('src/engine/binary.ts')).toEqual(['browser-peers']);
  expect(holders('src/core/connection.ts')).toEqual(['browser-peers']);
  expect(holders('src/core/trust.ts')).toEqual(['browser-peers']);
  expect(holders('bindings/browser/noble-keys.ts')).toEqual(['browser-noble-keys']);
  for (const name of files) {
    const code = readFileSync(join(DIST, name), 'utf8');
    // A second build of the engine: a Wasm module in base64 begins so.
    expect(code).not.toContain('AGFzbQEAAAA');
    // The order of the group of Curve25519, as the libraries write it.
    expect(/14def9dea2f79cd65812631a5cf5d3ed/i.test(code), name).toBe(name.startsWith('browser-noble-keys-'));
    expect(code).toMatch(new RegExp(`\\n//# sourceMappingURL=${name}\\.map\\n$`));
  }
});
