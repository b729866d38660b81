import { expect, test } from 'vitest';
import { Jobs } from '../../src/core/jobs.ts';

const JOB = { kind: 'sign', identity: 1, message: new Uint8Array(3) } as const;

test('a job goes out once and continues with its answer, once', () => {
  const jobs = new Jobs();
  const heard: unknown[] = [];
  jobs.start(JOB, (now, result) => heard.push([now, result]), 9);
  expect(jobs.size).toBe(1);
  const { id, job } = jobs.poll()!;
  expect(job).toBe(JOB);
  expect(jobs.poll()).toBeUndefined();
  expect(jobs.handle(5, id, true)).toBe(9);
  expect(jobs.handle(6, id, true)).toBe(0);
  expect(heard).toEqual([[5, true]]);
  expect(jobs.size).toBe(0);
});

test('a job that nobody waits for has id 0 and no answer', () => {
  const jobs = new Jobs();
  jobs.post({ kind: 'forget', handle: 3 });
  expect(jobs.poll()).toEqual({ id: 0, job: { kind: 'forget', handle: 3 } });
  expect([jobs.size, jobs.handle(1, 0, undefined), jobs.handle(1, 99, undefined)]).toEqual([0, 0, 0]);
});

test('answers may come in any order, and start more jobs', () => {
  const jobs = new Jobs();
  const heard: string[] = [];
  jobs.start(JOB, () => {
    heard.push('first');
    jobs.start(JOB, () => heard.push('third'));
  });
  jobs.start(JOB, () => heard.push('second'));
  const [a, b] = [jobs.poll()!, jobs.poll()!];
  jobs.handle(1, b.id, undefined);
  jobs.handle(2, a.id, undefined);
  const c = jobs.poll()!;
  expect(c.id).not.toBe(a.id);
  jobs.handle(3, c.id, undefined);
  expect(heard).toEqual(['second', 'first', 'third']);
});
