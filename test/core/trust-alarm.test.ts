import { expect, test } from 'vitest';
import { ALARM_MS, ALARMS, KeyAlarm } from '../../src/core/trust-alarm.ts';

test('an alarm rings once in five minutes per peer, for 1,024 peers', () => {
  const alarm = new KeyAlarm();
  expect([alarm.isDue(0, 7), alarm.isDue(ALARM_MS - 1, 7), alarm.isDue(ALARM_MS, 7)]).toEqual([true, false, true]);
  alarm.forget(7);
  expect(alarm.isDue(ALARM_MS, 7)).toBe(true);
  for (let peer = 1_000; peer < 999 + ALARMS; peer++) expect(alarm.isDue(ALARM_MS, peer)).toBe(true);
  expect(alarm.isDue(ALARM_MS, 7)).toBe(false);
  alarm.isDue(ALARM_MS, 999_999);
  expect(alarm.isDue(ALARM_MS, 7), 'the oldest was forgotten').toBe(true);
});
