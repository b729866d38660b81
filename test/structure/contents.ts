/**
 * What a folder may not contain: the last column of the design's import table. Read from the syntax, so a local that is
 * named like a forbidden global counts as one; nobody should be misled by such a name either.
 */
import ts from 'typescript';
import { nodesOf, placeOf, type Source } from './tree.ts';

const RUNTIMES = ['Deno', 'Bun', 'process', 'Buffer', 'require', '__dirname', '__filename', 'global'];
const TIME = [
  ...['Date', 'performance', 'Temporal', 'setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask'],
  ...['clearTimeout', 'clearInterval', 'clearImmediate', 'requestAnimationFrame', 'requestIdleCallback'],
];
const WORLD = ['Promise', ...TIME, 'crypto', 'console', 'fetch', 'WebSocket', 'globalThis'];

interface Ban {
  readonly files: readonly string[];
  readonly globals?: readonly string[];
  /** `object.property`. */
  readonly members?: readonly string[];
  readonly isAsyncBanned?: boolean;
  readonly isStateBanned?: boolean;
}

const SANS_IO = [
  'src/budget.ts',
  'src/core/',
  'src/server/registry/',
  ...['beacon', 'carried', 'endpoints', 'budget', 'tally'].map((name) => `src/server/${name}.ts`),
];

const BANS: readonly Ban[] = [
  { files: ['src/errors.ts', 'src/config.ts', 'src/wire/'], isStateBanned: true },
  { files: ['src/wire/'], globals: TIME },
  { files: SANS_IO, globals: WORLD, members: ['Math.random', 'Array.fromAsync'], isAsyncBanned: true },
  { files: ['src/'], globals: RUNTIMES },
];

/** Everything in a file that its folder may not contain. */
export function forbiddenContents(source: Source): string[] {
  if (source.path.startsWith('assembly/')) return forbiddenInAssembly(source);
  const bans = BANS.filter(({ files }) => files.some((file) => source.path.startsWith(file)));
  const globals = new Set(bans.flatMap((ban) => ban.globals ?? []));
  const members = new Set(bans.flatMap((ban) => ban.members ?? []));
  const isAsyncBanned = bans.some((ban) => ban.isAsyncBanned === true);
  const found = bans.some((ban) => ban.isStateBanned === true) ? moduleState(source) : [];
  for (const node of nodesOf(source.tree)) {
    const what = ts.isIdentifier(node) && globals.has(node.text) && isReference(node) ? node.text : undefined;
    const member = ts.isPropertyAccessExpression(node) ? node.getText() : '';
    if (what !== undefined) found.push(`${placeOf(source, node)}: ${what}`);
    else if (members.has(member)) found.push(`${placeOf(source, node)}: ${member}`);
    else if (isAsyncBanned && isAsync(node)) found.push(`${placeOf(source, node)}: async`);
  }
  return found;
}

/** A module that keeps something between two calls: `let`, or a collection that can change. */
export function moduleState(source: Source): string[] {
  const found: string[] = [];
  for (const statement of source.tree.statements) {
    if (!ts.isVariableStatement(statement)) continue;
    const isConst = (statement.declarationList.flags & ts.NodeFlags.Const) !== 0;
    for (const declaration of statement.declarationList.declarations) {
      if (!isConst || isMutable(declaration)) found.push(`${placeOf(source, declaration)}: state of the module`);
    }
  }
  return found;
}

function isMutable(declaration: ts.VariableDeclaration): boolean {
  const { initializer, type } = declaration;
  if (initializer === undefined || !ts.isNewExpression(initializer)) return false;
  const isReadonly = type !== undefined && /^Readonly/.test(type.getText());
  return !isReadonly && /^(Map|Set|WeakMap|WeakSet|Array|DataView|\w+Array)$/.test(initializer.expression.getText());
}

/** Not the name of a member, a property or a parameter's label, nor an import. */
function isReference(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent) || ts.isQualifiedName(parent)) {
    return (ts.isPropertyAccessExpression(parent) ? parent.expression : parent.left) === node;
  }
  const isNamed =
    ts.isPropertyAssignment(parent) ||
    ts.isPropertySignature(parent) ||
    ts.isPropertyDeclaration(parent) ||
    ts.isMethodDeclaration(parent) ||
    ts.isMethodSignature(parent) ||
    ts.isGetAccessor(parent) ||
    ts.isSetAccessor(parent);
  if (isNamed) return parent.name !== node;
  return !ts.isJSDoc(parent) && !ts.isImportSpecifier(parent) && !ts.isExportSpecifier(parent);
}

function isAsync(node: ts.Node): boolean {
  return (
    node.kind === ts.SyntaxKind.AsyncKeyword || ts.isAwaitExpression(node) || node.kind === ts.SyntaxKind.AwaitKeyword
  );
}

/** No import from the host, nothing on a heap, no text, no exception, no growing memory. */
function forbiddenInAssembly(source: Source): string[] {
  const found: string[] = [];
  for (const node of nodesOf(source.tree)) {
    const what = faultInAssembly(node);
    if (what !== undefined) found.push(`${placeOf(source, node)}: ${what}`);
  }
  return found;
}

function faultInAssembly(node: ts.Node): string | undefined {
  const { SyntaxKind } = ts;
  if (ts.isCallExpression(node) && node.expression.getText() === 'memory.grow') return 'memory.grow';
  if (ts.isDecorator(node) && node.expression.getText().startsWith('external')) return 'an import from the host';
  if (node.kind === SyntaxKind.DeclareKeyword) return 'an import from the host';
  if (ts.isThrowStatement(node) || ts.isTryStatement(node)) return 'throw';
  if (node.kind === SyntaxKind.StringKeyword || (ts.isIdentifier(node) && node.text === 'String')) return 'string';
  if (ts.isStringLiteralLike(node) && !ts.isImportDeclaration(node.parent) && !ts.isExportDeclaration(node.parent)) {
    return 'string';
  }
  if (ts.isTemplateExpression(node)) return 'string';
  const isObject = ts.isNewExpression(node) || ts.isClassDeclaration(node) || ts.isObjectLiteralExpression(node);
  const isClosure = ts.isArrowFunction(node) || ts.isFunctionExpression(node);
  if (isObject || isClosure) return 'a heap object';
  // `memory.data` wants its bytes as a literal and puts them into the module.
  const isStatic =
    node.parent !== undefined && ts.isCallExpression(node.parent) && node.parent.expression.getText() === 'memory.data';
  return ts.isArrayLiteralExpression(node) && !isStatic ? 'a heap object' : undefined;
}
