/**
 * What the style forbids in any file: default exports, what does not erase, `any`, postponed work, switched-off tests,
 * exports without a doc comment, names that say nothing.
 */
import { posix } from 'node:path';
import ts from 'typescript';
import { nodesOf, placeOf, type Source } from './tree.ts';

// In pieces, lest this file finds itself.
const POSTPONED = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX', 'HA' + 'CK'].join('|')})\\b`);
const EMPTY_NAMES = new Set(['utils', 'util', 'helpers', 'helper', 'common', 'misc', 'types']);
const NAME = /^[a-z0-9]+(-[a-z0-9]+)*(\.(test|config))?\.(ts|mjs)$/;

/** `export default`, and exports of another module's default. */
export function defaultExports(source: Source): string[] {
  const found: string[] = [];
  for (const node of nodesOf(source.tree)) {
    const isDefault =
      ts.isExportAssignment(node) ||
      (node.kind === ts.SyntaxKind.DefaultKeyword && !ts.isDefaultClause(node.parent)) ||
      (ts.isExportSpecifier(node) && node.name.text === 'default');
    if (isDefault) found.push(placeOf(source, node));
  }
  return found;
}

/** `enum`, `namespace`, `any`. */
export function forbiddenSyntax(source: Source): string[] {
  const found: string[] = [];
  for (const node of nodesOf(source.tree)) {
    const what = ts.isEnumDeclaration(node)
      ? 'enum'
      : ts.isModuleDeclaration(node)
        ? 'namespace'
        : node.kind === ts.SyntaxKind.AnyKeyword
          ? 'any'
          : undefined;
    if (what !== undefined) found.push(`${placeOf(source, node)}: ${what}`);
  }
  return found;
}

/** Lines that put work off. */
export function postponed(path: string, text: string): string[] {
  return text.split('\n').flatMap((line, i) => (POSTPONED.test(line) ? [`${path}:${i + 1}`] : []));
}

/** Tests that are switched off, or that switch off the others. */
export function switchedTests(source: Source): string[] {
  const found: string[] = [];
  for (const node of nodesOf(source.tree)) {
    if (!ts.isPropertyAccessExpression(node)) continue;
    const isSwitch = ['only', 'skip', 'todo', 'fails'].includes(node.name.text);
    const [root] = node.expression.getText().split(/[.(]/);
    if (isSwitch && ['test', 'it', 'describe', 'suite'].includes(root ?? '')) {
      found.push(`${placeOf(source, node)}: .${node.name.text}`);
    }
  }
  return found;
}

/** Exported declarations without a doc comment directly above. Lists of names and re-exports need none. */
export function undocumentedExports(source: Source): string[] {
  const found: string[] = [];
  for (const statement of source.tree.statements) {
    const isExported =
      ts.canHaveModifiers(statement) &&
      (ts.getModifiers(statement) ?? []).some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);
    if (isExported && !hasDoc(source, statement))
      found.push(`${placeOf(source, statement)} ${exportedName(statement)}`);
  }
  return found;
}

/** A file or folder whose name says nothing, or is not written as names are here. */
export function badNames(path: string): string[] {
  const parts = path.replace(/\.[^/]*$/, '').split('/');
  const isEmpty = parts.some((part) => EMPTY_NAMES.has(part));
  const isMisspelt = /\.(ts|mjs)$/.test(path) && !NAME.test(posix.basename(path));
  return isEmpty || isMisspelt ? [path] : [];
}

function hasDoc(source: Source, statement: ts.Statement): boolean {
  const comments = ts.getLeadingCommentRanges(source.text, statement.getFullStart()) ?? [];
  const last = comments.at(-1);
  if (last === undefined || !source.text.startsWith('/**', last.pos)) return false;
  const isDirect = /^\s*$/.test(source.text.slice(last.end, statement.getStart()).replace('\n', ''));
  const gap = source.text.slice(last.end, statement.getStart());
  return isDirect && gap.split('\n').length <= 2;
}

function exportedName(statement: ts.Statement): string {
  if (ts.isVariableStatement(statement)) return statement.declarationList.declarations[0]?.name.getText() ?? '';
  const isNamed =
    ts.isFunctionDeclaration(statement) ||
    ts.isClassDeclaration(statement) ||
    ts.isInterfaceDeclaration(statement) ||
    ts.isTypeAliasDeclaration(statement);
  return isNamed ? (statement.name?.text ?? '') : '';
}
