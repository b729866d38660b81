/**
 * Who may import whom: the table of the design, as data, and the rules that read it. A folder may always import itself;
 * an arrow that points up, or around in a circle, is a fault.
 */
import { posix } from 'node:path';
import ts from 'typescript';
import { nodesOf, placeOf, type Source } from './tree.ts';

/** One row of the table. Paths are prefixes; the first row that fits a file is its own. */
export interface Row {
  readonly name: string;
  readonly files: readonly string[];
  /** Names of other rows. */
  readonly mayImport: readonly string[];
  /** Packages, and `node:` for the runtime's own. */
  readonly packages?: readonly string[];
}

const SANS_IO = ['errors', 'config', 'budget', 'wire', 'engine interface'];
const GLUE = [...SANS_IO, 'core', 'engine'];
const APPLICATIONS = ['errors', 'config', 'version', 'wire', 'api', 'public'];

/** Top to bottom as in the design; the entries of `bindings/` are last. */
export const TABLE: readonly Row[] = [
  { name: 'assembly', files: ['assembly/'], mayImport: [] },
  { name: 'errors', files: ['src/errors.ts'], mayImport: [] },
  { name: 'config', files: ['src/config.ts'], mayImport: [] },
  { name: 'budget', files: ['src/budget.ts'], mayImport: ['config'] },
  { name: 'version', files: ['src/version.ts'], mayImport: [] },
  { name: 'wire', files: ['src/wire/'], mayImport: ['errors'] },
  { name: 'engine interface', files: ['src/engine/engine.ts'], mayImport: [] },
  // The loader is bundled (style: Dependencies).
  {
    name: 'engine',
    files: ['src/engine/'],
    mayImport: ['errors', 'engine interface'],
    packages: ['@assemblyscript/loader'],
  },
  { name: 'core', files: ['src/core/'], mayImport: SANS_IO },
  {
    name: 'server core',
    files: [
      'src/server/registry/',
      ...['beacon', 'carried', 'endpoints', 'budget', 'tally'].map((name) => `src/server/${name}.ts`),
    ],
    mayImport: SANS_IO,
  },
  { name: 'carrier', files: ['src/carrier/'], mayImport: GLUE },
  { name: 'driver', files: ['src/driver.ts', 'src/driver/'], mayImport: [...GLUE, 'carrier'] },
  { name: 'server', files: ['src/server/'], mayImport: [...GLUE, 'carrier', 'server core'] },
  { name: 'api', files: ['src/api/'], mayImport: [...GLUE, 'version', 'carrier', 'driver'] },
  {
    name: 'testing',
    files: ['src/testing/'],
    mayImport: [...GLUE, 'version', 'carrier', 'driver', 'server core', 'server', 'api', 'public'],
  },
  { name: 'services', files: ['src/services/'], mayImport: APPLICATIONS },
  { name: 'ipc', files: ['src/ipc/'], mayImport: APPLICATIONS },
  { name: 'cli', files: ['src/cli/'], mayImport: [...APPLICATIONS, 'ipc', 'server', 'server core'] },
  {
    name: 'public',
    files: ['src/index.ts'],
    mayImport: ['errors', 'config', 'version', 'wire', 'carrier', 'driver', 'api', 'services'],
  },
  ...['node', 'deno', 'bun', 'browser'].map((runtime) => ({
    name: `binding ${runtime}`,
    files: [`bindings/${runtime}/`],
    mayImport: [
      ...[
        'errors',
        'config',
        'version',
        'wire',
        'carrier',
        'engine',
        'engine interface',
        'driver',
        'api',
        'public',
        'server',
        'testing',
      ],
      ...['services', 'ipc', 'cli'],
      ...(runtime === 'deno' || runtime === 'bun' ? ['binding node'] : []),
    ],
    packages: runtime === 'browser' ? ['*'] : ['node:', '*'],
  })),
];

/** Rows that nothing checks: they may import anything, and nobody imports them. */
const UNBOUND = /^(test\/|bench\/|examples\/|[^/]+$)/;

/** One import or re-export. */
export interface Import {
  readonly specifier: string;
  /** Path of the file, for a relative one. */
  readonly target: string | undefined;
  readonly node: ts.Node;
}

export function importsOf(source: Source): Import[] {
  const found: Import[] = [];
  for (const node of nodesOf(source.tree)) {
    const specifier = specifierOf(node);
    if (specifier === undefined) continue;
    const isRelative = specifier.startsWith('.');
    const joined = posix.join(posix.dirname(source.path), specifier);
    // AssemblyScript writes no suffix.
    const target = source.path.startsWith('assembly/') && !joined.endsWith('.ts') ? `${joined}.ts` : joined;
    found.push({ specifier, target: isRelative ? target : undefined, node });
  }
  return found;
}

/** The row of a file; undefined for one that the table does not know. */
export function rowOf(path: string): Row | undefined {
  return TABLE.find(({ files }) => files.some((file) => (file.endsWith('/') ? path.startsWith(file) : path === file)));
}

/** Imports that the table does not allow, and files that it does not know. */
export function forbiddenImports(source: Source): string[] {
  if (UNBOUND.test(source.path)) return [];
  const row = rowOf(source.path);
  if (row === undefined) return [`${source.path}: no row of the table is for this file`];
  return importsOf(source).flatMap(({ specifier, target, node }) => {
    const isAllowed = target === undefined ? mayUse(row, specifier) : mayReach(row, target);
    return isAllowed ? [] : [`${placeOf(source, node)}: ${row.name} imports '${specifier}'`];
  });
}

/** Relative imports without the suffix of a file that is there. */
export function importsWithoutSuffix(source: Source): string[] {
  // AssemblyScript writes none, and pages name what their server has.
  if (/^(assembly|examples)\//.test(source.path)) return [];
  return importsOf(source)
    .filter(({ specifier, target }) => target !== undefined && !/\.(ts|mjs|json)$/.test(specifier))
    .map(({ specifier, node }) => `${placeOf(source, node)}: '${specifier}' does not end in .ts`);
}

/** Circles of imports, each as a list of files; types count, for a circle of types is one idea in two files. */
export function importCycles(all: readonly Source[]): string[] {
  const targets = new Map(all.map((source) => [source.path, importsOf(source).flatMap(({ target }) => target ?? [])]));
  const done = new Set<string>();
  const trail: string[] = [];
  const cycles: string[] = [];
  const visit = (path: string): void => {
    const at = trail.indexOf(path);
    if (at >= 0) cycles.push([...trail.slice(at), path].join(' → '));
    if (at >= 0 || done.has(path)) return;
    trail.push(path);
    for (const target of targets.get(path) ?? []) visit(target);
    trail.pop();
    done.add(path);
  };
  for (const { path } of all) visit(path);
  return cycles;
}

function specifierOf(node: ts.Node): string | undefined {
  const from =
    ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
      ? node.moduleSpecifier
      : ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
        ? node.arguments[0]
        : ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)
          ? node.argument.literal
          : undefined;
  return from !== undefined && ts.isStringLiteralLike(from) ? from.text : undefined;
}

function mayUse(row: Row, specifier: string): boolean {
  const isRuntime = specifier.startsWith('node:');
  return (row.packages ?? []).some((name) => (isRuntime ? name === 'node:' : name === '*' || name === specifier));
}

function mayReach(row: Row, target: string): boolean {
  const other = rowOf(target);
  return other !== undefined && (other === row || row.mayImport.includes(other.name));
}
