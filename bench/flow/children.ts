/** The bench's processes: started by it and ended by it, by their ids. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** USER_HZ of Linux. */
const TICKS_PER_SECOND = 100;

const children = new Set<ChildProcess>();

/** Starts a program that is ended with this process at the latest. */
export function start(
  command: readonly string[],
  options: { env?: Record<string, string>; ipc?: boolean },
): ChildProcess {
  const [file, ...args] = command;
  const stdio = options.ipc ? (['ignore', 2, 2, 'ipc'] as const) : (['pipe', 'pipe', 2] as const);
  const child = spawn(file!, args, { env: { ...process.env, ...options.env }, stdio: [...stdio] });
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

/** Ends a program and waits for its end. */
export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await gone;
}

/** Ends all that still run; for the end of this process. */
export function stopAll(): void {
  for (const child of children) child.kill('SIGKILL');
}

/** Seconds of processor time of a process so far, all threads and the kernel's work for it. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name, in parentheses, may contain anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}
