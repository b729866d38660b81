/**
 * Answers of the registry: what a handler returns, and what of an error's text the asker gets to see (CP 1.3, 1.4).
 */
import type { ErrorCode } from '../../errors.ts';
import type { RegistryFields } from '../../wire/registry.ts';

/** Success with the fields of the answer, or a refusal. */
export type Answer =
  | { readonly ok: true; readonly fields: RegistryFields }
  | { readonly ok: false; readonly text: string; readonly code: ErrorCode };

/** A refusal, for those who look for one. */
export type Refusal = Extract<Answer, { ok: false }>;

/** What CP 1.4 lets through, the newest list: other texts become `request failed`. */
const SHOWN = [
  'rate limited',
  'enterprise feature',
  'expired',
  'already',
  'not a member',
  'cannot',
  'too many',
  'too long',
  'not found',
  'invalid',
  'require',
  'signature',
] as const;

const MASK = 'request failed';

/** @param type - Of the request; the answer's is that with `_ok`. */
export function accept(type: string, fields?: RegistryFields): Answer {
  return { ok: true, fields: { ...fields, type: `${type}_ok` } };
}

/** @param text - Clients match parts of it, and it is masked: see the canonical texts of CP 1.4. */
export function refuse(code: ErrorCode, text: string): Refusal {
  return { ok: false, text, code };
}

/** The object that goes into a JSON frame. `code` is ours: it survives the mask (CP 1.21, R14). */
export function fieldsOf(answer: Answer): RegistryFields {
  if (answer.ok) return answer.fields;
  return { type: 'error', error: maskedText(answer), code: answer.code };
}

/** The text as JSON shows it. */
export function maskedText(refusal: Refusal): string {
  return SHOWN.some((part) => refusal.text.includes(part)) ? refusal.text : MASK;
}

/** CP 1.4. */
export function nodeNotFound(nodeId: number): Refusal {
  return refuse('NOT_FOUND', `node ${nodeId}: node not found`);
}

/** A private node, and the requester is nobody it trusts. The text is masked. */
export function resolveDenied(nodeId: number): Refusal {
  return refuse('NOT_TRUSTED', `resolve denied: node ${nodeId} is private (establish mutual trust first)`);
}

/** RFC 3339 in UTC with whole seconds. */
export function rfc3339(unixMs: number): string {
  const seconds = Math.floor(unixMs / 1000);
  const days = Math.floor(seconds / 86_400);
  const { year, month, day } = civil(days);
  const time = seconds - days * 86_400;
  const two = (value: number): string => `${value}`.padStart(2, '0');
  const clock = `${two(Math.floor(time / 3600))}:${two(Math.floor(time / 60) % 60)}:${two(time % 60)}`;
  return `${`${year}`.padStart(4, '0')}-${two(month)}-${two(day)}T${clock}Z`;
}

/** Days since 1970 → date in the Gregorian calendar, by eras of 400 years that begin on 1 March. */
function civil(days: number): { year: number; month: number; day: number } {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  return { year, month, day: dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1 };
}
