/**
 * Times in files: RFC 3339 text ↔ Unix seconds, without a clock or a time zone. Fractions of a second are dropped; the
 * year has four digits, so the range is 0001 to 9999.
 */

/** Whole seconds since 1970-01-01T00:00:00Z; negative before. */
export type UnixSeconds = number;

/** Longer text is no time, whatever it says. */
const TEXT_LIMIT = 64;
const PATTERN = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|([+-])(\d\d):(\d\d))$/;
const FIRST: UnixSeconds = -62_135_596_800;
const LAST: UnixSeconds = 253_402_300_799;
const DAY_SECONDS = 86_400;
/** Days from 0000-03-01 to 1970-01-01. */
const EPOCH_DAYS = 719_468;
const ERA_DAYS = 146_097;

/** In UTC with whole seconds; times outside the range become its nearest end. */
export function formatTime(time: UnixSeconds): string {
  const seconds = Math.min(Math.max(Math.floor(time), FIRST), LAST);
  const days = Math.floor(seconds / DAY_SECONDS);
  const { year, month, day } = civil(days);
  const left = seconds - days * DAY_SECONDS;
  const date = `${`${year}`.padStart(4, '0')}-${two(month)}-${two(day)}`;
  return `${date}T${two(Math.floor(left / 3600))}:${two(Math.floor(left / 60) % 60)}:${two(left % 60)}Z`;
}

/** @returns Undefined when the text is no RFC 3339 time, or no day of the calendar. */
export function parseTime(text: string): UnixSeconds | undefined {
  const parts = text.length > TEXT_LIMIT ? null : PATTERN.exec(text);
  if (parts === null) return undefined;
  const field = (index: number): number => Number(parts[index] ?? 0);
  const [year, month, day] = [field(1), field(2), field(3)];
  const [hour, minute, second] = [field(4), field(5), field(6)];
  const [offsetHour, offsetMinute] = [field(8), field(9)];
  if (hour > 23 || minute > 59 || second > 60 || offsetHour > 23 || offsetMinute > 59) return undefined;
  const days = dayNumber(year, month, day);
  const again = civil(days);
  // The 31st of a shorter month comes back as another day.
  if (again.year !== year || again.month !== month || again.day !== day) return undefined;
  const offset = (parts[7] === '-' ? -1 : 1) * (offsetHour * 3600 + offsetMinute * 60);
  return days * DAY_SECONDS + hour * 3600 + minute * 60 + second - offset;
}

function two(value: number): string {
  return `${value}`.padStart(2, '0');
}

/** Days since 1970 of a date in the Gregorian calendar, by eras of 400 years that begin on 1 March. */
function dayNumber(year: number, month: number, day: number): number {
  const shiftedYear = month <= 2 ? year - 1 : year;
  const era = Math.floor(shiftedYear / 400);
  const yearOfEra = shiftedYear - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * ERA_DAYS + dayOfEra - EPOCH_DAYS;
}

/** The inverse of `dayNumber`. */
function civil(days: number): { year: number; month: number; day: number } {
  const shifted = days + EPOCH_DAYS;
  const era = Math.floor(shifted / ERA_DAYS);
  const dayOfEra = shifted - era * ERA_DAYS;
  const leaps = Math.floor(dayOfEra / 1460) - Math.floor(dayOfEra / 36_524) + Math.floor(dayOfEra / 146_096);
  const yearOfEra = Math.floor((dayOfEra - leaps) / 365);
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  return { year, month, day: dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1 };
}
