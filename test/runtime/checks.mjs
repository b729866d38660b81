// What others' tools say of the package: publint, attw, JSR; and that bundlers, TypeScript and require() take it as it is.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { CACHE } from './install.mjs';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
/** Bundled, the addresses alone are a fraction of this; the engine would be ten times as much. */
const SMALL_BYTES = 20_000;
const PACKED =
  /^(dist\/(\w+\/)?[\w-]+\.js|dist\/browser[\w-]*\.js\.map|dist\/types\/.+\.d\.ts|examples\/browser\/\w+\.(html|css|js|svg)|package\.json|LICENSE|\w+\.md|llms\.txt)$/;
const UNWANTED = /(^|\/)(test|bench|wasm)\//;
const REQUIRE = `
const { Agent, PilotError } = require('pilotwire');
const { serveRendezvous } = require('pilotwire/server');
const { simulate } = require('pilotwire/testing');
for (const one of [Agent.start, PilotError, serveRendezvous, simulate]) if (typeof one !== 'function') process.exit(1);
`;
const CONSUMER = `
import { Agent, type AgentOptions, type Connection, ERROR_CODES, PilotError } from 'pilotwire';
import { serveRendezvous, type RendezvousOptions } from 'pilotwire/server';
import { simulate } from 'pilotwire/testing';

export async function run(served: RendezvousOptions, options: Omit<AgentOptions, 'rendezvous'>): Promise<number> {
  const server = await serveRendezvous(served);
  const agent: Agent = await Agent.start({ ...options, rendezvous: server.url, home: '/tmp' });
  const connection: Connection = await agent.dial('bob:1000', { timeoutMs: 10 });
  for await (const bytes of connection.readable) if (bytes.length > 0) break;
  // @ts-expect-error a port is a number
  agent.listen('1000');
  const world = simulate({ seed: 1 });
  return world.world === undefined || ERROR_CODES.BUSY.retryable ? new PilotError('BUSY', 'x').code.length : 0;
}
`;
const OPTIONS = {
  ...{ target: 'es2022', lib: ['es2023', 'dom', 'dom.asynciterable', 'esnext.disposable'], module: 'nodenext' },
  ...{ strict: true, exactOptionalPropertyTypes: true, noEmit: true, types: [], skipLibCheck: false },
};

/**
 * @param project - As `createProject` makes it.
 * @param commands - Name → command of the runtimes at hand.
 */
export async function runChecks(project, commands, count) {
  const check = (what, [binary, ...words], cwd = project.directory) => {
    const { status, stdout, stderr, error } = spawnSync(binary, words, { cwd, encoding: 'utf8' });
    count('package', what, status === 0 ? undefined : `${error ?? ''}${stdout}${stderr}`);
  };
  check('publint', tool('publint', 'publint', ['run', project.tarball, '--strict']));
  check('attw', tool('@arethetypeswrong/cli', 'attw', [project.tarball, '--profile', 'esm-only']));
  countTarball(project, count);

  writeFileSync(join(project.directory, 'consumer.ts'), CONSUMER);
  writeFileSync(
    join(project.directory, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: OPTIONS, include: ['consumer.ts'] }),
  );
  check('types without those of Node', tool('typescript', 'tsc', ['-p', 'tsconfig.json']));

  const deno = commands.get('deno')?.[0];
  if (deno !== undefined) {
    check('jsr, no slow types', [deno, 'publish', '--dry-run', '--allow-dirty'], ROOT);
    check('types in Deno', [deno, 'check', 'consumer.ts']);
  }
  const [jsr, npm] = ['deno.json', 'package.json'].map((name) => JSON.parse(readFileSync(join(ROOT, name))));
  count('package', 'one version', jsr.version === npm.version ? undefined : `deno.json: ${jsr.version}`);

  writeFileSync(join(project.directory, 'required.cjs'), REQUIRE);
  for (const [name, command] of commands)
    if (name !== 'deno') check(`require() in ${name}`, [...command, 'required.cjs']);
  check('reference of the API', [process.execPath, join(ROOT, 'test/runtime/docs.mjs')]);
  await checkExports(project, commands, check);
  await checkBundles(project, check, count);
}

/** A program of an installed package. */
function tool(name, program, words) {
  const path = join(CACHE, 'node_modules', name);
  const { bin } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'));
  return [process.execPath, join(path, typeof bin === 'string' ? bin : bin[program]), ...words];
}

function countTarball({ directory }, count) {
  const list = JSON.parse(readFileSync(join(directory, 'package-lock.json'), 'utf8'));
  const installed = Object.keys(list.packages).filter((path) => /esbuild|vitest|assemblyscript/.test(path));
  count('package', 'brings no tools', installed.length === 0 ? undefined : installed.join());
  const words = ['pack', '--dry-run', '--json', '--ignore-scripts'];
  const { stdout } = spawnSync('npm', words, { cwd: ROOT, encoding: 'utf8' });
  const packed = JSON.parse(stdout);
  const { files } = Array.isArray(packed) ? packed[0] : Object.values(packed)[0];
  const strange = files.map(({ path }) => path).filter((path) => !PACKED.test(path) || UNWANTED.test(path));
  count('package', 'no tests, no benches', strange.length === 0 ? undefined : strange.join());
}

/** One API: the same names everywhere. */
async function checkExports({ directory }, commands, check) {
  const names = await Promise.all(
    ['index', 'server'].map(async (entry) =>
      Object.keys(await import(pathToFileURL(join(directory, `node_modules/pilotwire/dist/${entry}.js`)))).sort(),
    ),
  );
  const text = `
import * as index from 'pilotwire';
import * as server from 'pilotwire/server';
const names = JSON.stringify([index, server].map((one) => Object.keys(one).sort()));
if (names !== ${JSON.stringify(JSON.stringify(names))}) throw new Error(names);
`;
  writeFileSync(join(directory, 'names.mjs'), text);
  for (const [name, command] of commands) check(`the names of ${name}`, [...command, 'names.mjs']);
}

/** Whole programs, run where there is nothing else; and that what is not used is left out. */
async function checkBundles({ directory }, check, count) {
  const out = join(dirname(directory), 'bundles');
  mkdirSync(out);
  writeFileSync(
    join(directory, 'address.mjs'),
    `import { Address } from 'pilotwire';\nconsole.log(Address.parse('0:0000.0000.0001').node);\n`,
  );
  for (const [name, bundle] of Object.entries(BUNDLERS)) {
    for (const [entry, words] of [
      ['process', [JSON.stringify({ is: 'alone', directory: join(out, name) })]],
      ['address', []],
    ]) {
      try {
        const file = await bundle({ directory, entry: `${entry}.mjs`, out: join(out, `${name}-${entry}`) });
        check(`${name} bundles ${entry}`, [process.execPath, file, ...words], out);
        const { size } = statSync(file);
        if (entry === 'address')
          count('package', `${name} leaves out`, size < SMALL_BYTES ? undefined : `${size} bytes`);
      } catch (error) {
        count('package', `${name} bundles ${entry}`, error.stack);
      }
    }
  }
}

/** What one must tell a bundler for Node anyway; nothing about this package. Each answers with the file that it made. */
const BUNDLERS = {
  async esbuild({ directory, entry, out }) {
    const { build } = await import('esbuild');
    // Its own choice for Node is CommonJS; as a module it cannot carry ws, which requires built-in modules.
    const outfile = join(out, 'out.cjs');
    await build({
      absWorkingDir: directory,
      entryPoints: [entry],
      bundle: true,
      minify: true,
      platform: 'node',
      outfile,
    });
    return outfile;
  },
  async vite({ directory, entry, out }) {
    const { build } = await installed('vite');
    const ssr = { noExternal: true };
    await build({
      root: directory,
      configFile: false,
      logLevel: 'error',
      ssr,
      build: { ssr: entry, outDir: out, minify: true },
    });
    return join(out, entry.replace('.mjs', '.js'));
  },
  async webpack({ directory, entry, out }) {
    const { default: webpack } = await installed('webpack');
    const output = { path: out, filename: 'out.cjs' };
    await new Promise((resolve, reject) => {
      webpack(
        { context: directory, entry: `./${entry}`, target: 'node', mode: 'production', output },
        (error, stats) => {
          if (error || stats.hasErrors()) reject(error ?? new Error(stats.toString('errors-only')));
          else resolve();
        },
      );
    });
    return join(out, 'out.cjs');
  },
};

async function installed(name) {
  const require = createRequire(join(CACHE, 'package.json'));
  return await import(pathToFileURL(require.resolve(name)));
}
