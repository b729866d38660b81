/** The lists in answers of a control socket, which may be anybody's: read with nothing taken for granted. */
import type { ControlAnswer } from '../ipc/control.ts';

/** The objects of a list; empty when there is none. */
export function rowsOf(answer: ControlAnswer, key: string): ControlAnswer[] {
  const list = answer[key];
  return Array.isArray(list)
    ? list.filter((item): item is ControlAnswer => typeof item === 'object' && item !== null)
    : [];
}

/** A field as text; empty when it is not there. */
export function textOf(row: ControlAnswer, key: string): string {
  const value = row[key];
  return value === undefined || value === null ? '' : `${value}`;
}

/** A field as a number; 0 when it is none. */
export function numberOf(row: ControlAnswer, key: string): number {
  const value = row[key];
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}
