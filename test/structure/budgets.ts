/**
 * Sizes: lines of code in a file and in a function, parameters of a function. Blank lines and comments are free, so that
 * nobody saves on them.
 */
import ts from 'typescript';
import { nodesOf, parse, placeOf, type Source } from './tree.ts';

/** Lines of a file, lines of a function, parameters. */
export const BUDGET = { fileLines: 400, functionLines: 80, parameters: 4 } as const;

/** How many lines hold any code. @param within - Only those of this node. */
export function codeLines(source: Source, within: ts.Node = source.tree): number {
  const lines = new Set<number>();
  const lineAt = (position: number): number => source.tree.getLineAndCharacterOfPosition(position).line;
  const visit = (node: ts.Node): void => {
    if (node.kind >= ts.SyntaxKind.FirstJSDocNode && node.kind <= ts.SyntaxKind.LastJSDocNode) return;
    const children = node.getChildren(source.tree);
    if (children.length > 0) {
      for (const child of children) visit(child);
      return;
    }
    if (node.getWidth(source.tree) === 0) return;
    for (let line = lineAt(node.getStart(source.tree)); line <= lineAt(node.end); line++) lines.add(line);
  };
  visit(within);
  return lines.size;
}

/** A function, a method or the type of one, with its sizes. */
export interface Sized {
  /** `path#name`, or `path(call)` for an argument. */
  readonly name: string;
  readonly lines: number;
  readonly parameters: number;
}

export function functionsOf(source: Source): Sized[] {
  const found: Sized[] = [];
  for (const node of nodesOf(source.tree)) {
    if (!ts.isFunctionLike(node) || ts.isIndexSignatureDeclaration(node)) continue;
    const parameters = isFedByTable(node) ? 0 : node.parameters.filter(({ name }) => name.getText() !== 'this').length;
    const isList = 'body' in node && node.body !== undefined && ts.isBlock(node.body) && holdsTests(node.body);
    const hasBody = 'body' in node && node.body !== undefined;
    const lines = hasBody && !isList ? codeLines(source, node) : 0;
    found.push({ name: nameOf(source, node), lines, parameters });
  }
  return found;
}

/** Tables of tests and generators of values hand over one argument per column. */
function isFedByTable(node: ts.SignatureDeclaration): boolean {
  const { parent } = node;
  return ts.isCallExpression(parent) && /\.each\b|\.property$/.test(parent.expression.getText());
}

/** A list of tests is as long as there are tests; each of them is a function of its own. */
function holdsTests(body: ts.Block): boolean {
  return body.statements.some((statement) => /^(test|describe|it)[.(]/.test(statement.getText()));
}

function nameOf(source: Source, node: ts.SignatureDeclaration): string {
  if (ts.isConstructorDeclaration(node)) return `${source.path}#constructor`;
  const named = node.name ?? (ts.isVariableDeclaration(node.parent) ? node.parent.name : undefined);
  if (named !== undefined) return `${source.path}#${named.getText()}`;
  const { parent } = node;
  // An argument is named after what it is handed to: lines move.
  return ts.isCallExpression(parent) ? `${source.path}(${parent.expression.getText()})` : placeOf(source, node);
}

/** What `codeLines` counts in a text, for the test of the test. */
export function codeLinesOfText(text: string): number {
  return codeLines(parse('x.ts', text));
}
