// `npm run docs`: the reference of the public API, out of the doc comments, into .cache/docs.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CACHE, install } from './install.mjs';

install({ checkers: true });
const typedoc = join(CACHE, 'node_modules/typedoc/bin/typedoc');
const options = join(dirname(fileURLToPath(import.meta.url)), 'typedoc.json');
process.exitCode = spawnSync(process.execPath, [typedoc, '--options', options], { stdio: 'inherit' }).status ?? 1;
