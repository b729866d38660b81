/**
 * The page of examples/browser as the documents of a rendezvous: a fixed list, read once, so that no request names a file.
 * The browser's bundle comes with it, from the same origin.
 */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { WebDocument } from '../../../src/carrier/host.ts';
import { PilotError } from '../../../src/errors.ts';

const FOLDER = 'examples/browser';
const FILES = ['index.html', 'style.css', 'app.js', 'streams.js', 'icon.svg'];
const BUNDLE = /^browser(-[\w-]+)?\.js$/;
const TYPES: { readonly [suffix: string]: string } = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml; charset=utf-8',
};
/** The policy of the README for a page whose rendezvous is its own server, and what this page has besides scripts. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  "connect-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/**
 * Reads the page and the bundle.
 *
 * @returns Documents by path: `/`, the files beside it, and `/browser.js` with its chunks.
 * @throws PilotError `NOT_FOUND` where the package was not built, or its files are not all there.
 */
export async function readDemoPage(): Promise<ReadonlyMap<string, WebDocument>> {
  const documents = new Map<string, WebDocument>();
  try {
    const root = packageRoot(dirname(fileURLToPath(import.meta.url)));
    const bundle = (await readdir(join(root, 'dist'))).filter((name) => BUNDLE.test(name));
    if (!bundle.includes('browser.js')) throw new Error('dist/browser.js is not there');
    const files = [...FILES.map((name) => join(FOLDER, name)), ...bundle.map((name) => join('dist', name))];
    for (const file of files) {
      const name = file.slice(dirname(file).length + 1);
      const text = await readFile(join(root, file), 'utf8');
      documents.set(name === 'index.html' ? '/' : `/${name}`, { text, headers: headersOf(name) });
    }
  } catch (cause) {
    throw new PilotError('NOT_FOUND', `Cannot read the demo page: ${(cause as Error).message}`, {
      cause,
      hint: 'in a checkout it is made by `npm run build`; else install the package again',
    });
  }
  return documents;
}

/** The sources, the bundle and its chunks lie at different depths below it. */
function packageRoot(from: string): string {
  for (let folder = from; ; folder = dirname(folder)) {
    if (existsSync(join(folder, FOLDER, 'index.html'))) return folder;
    if (folder === dirname(folder)) throw new Error(`${FOLDER} is not in the package`);
  }
}

function headersOf(name: string): WebDocument['headers'] {
  return {
    'content-type': TYPES[extname(name)] ?? 'application/octet-stream',
    'content-security-policy': POLICY,
    'x-content-type-options': 'nosniff',
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    // A new version of the package must not meet half of the old one.
    'cache-control': 'no-cache',
  };
}
