/**
 * The files of the project as the structure tests see them: what git would commit, parsed once. Where there is no git (a
 * copy of the tree), what is on disk, less what is generated.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/** One file of TypeScript or JavaScript. */
export interface Source {
  /** From the root of the project, with `/`. */
  readonly path: string;
  readonly text: string;
  readonly tree: ts.SourceFile;
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** What .gitignore names, for the walk without git. */
const GENERATED =
  /^(\.git|\.cache|dist|bindings\/node\/addon\/build|.*node_modules|src\/engine\/binary\.ts|[^/]*\.tgz)(\/|$)/;

/** Every file that is or could be committed; committed ones only, where asked for. */
export function projectFiles(which: 'all' | 'committed' = 'all'): string[] {
  const paths = gitFiles(which) ?? walk('');
  return paths.filter((path) => existsSync(join(ROOT, path))).sort();
}

export function readText(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** @param path - Decides how the text is read; it need not exist. */
export function parse(path: string, text: string): Source {
  return { path, text, tree: ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true) };
}

/** All sources below the folders, or all there are. */
export function sources(...folders: string[]): Source[] {
  return projectFiles()
    .filter((path) => /\.(ts|mts|js|mjs|cjs)$/.test(path))
    .filter((path) => folders.length === 0 || folders.some((folder) => path.startsWith(folder)))
    .map((path) => parse(path, readText(path)));
}

/** Every node below `node`, itself included, in order of the text. */
export function* nodesOf(node: ts.Node): Generator<ts.Node> {
  yield node;
  const children: ts.Node[] = [];
  node.forEachChild((child) => {
    children.push(child);
  });
  for (const child of children) yield* nodesOf(child);
}

/** `path:line`, for messages. */
export function placeOf(source: Source, node: ts.Node): string {
  return `${source.path}:${source.tree.getLineAndCharacterOfPosition(node.getStart(source.tree)).line + 1}`;
}

/** @returns Undefined where git does not keep this tree, or refuses to. */
function gitFiles(which: 'all' | 'committed'): string[] | undefined {
  if (!existsSync(join(ROOT, '.git'))) return undefined;
  const others = which === 'all' ? ['--others', '--exclude-standard'] : [];
  const list = spawnSync('git', ['ls-files', '-z', '--cached', ...others], { cwd: ROOT, encoding: 'utf8' });
  return list.status === 0 ? list.stdout.split('\0').filter((path) => path !== '') : undefined;
}

function walk(folder: string): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(join(ROOT, folder), { withFileTypes: true })) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (GENERATED.test(path)) continue;
    if (entry.isDirectory()) found.push(...walk(path));
    else if (entry.isFile()) found.push(path);
  }
  return found;
}
