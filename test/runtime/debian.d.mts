/** Packages of Debian, and programs on PATH. */
interface Where {
  readonly env?: NodeJS.ProcessEnv;
  readonly isRoot?: boolean;
}

export function mayInstall(where?: Where): boolean;
export function aptInstall(packages: readonly string[], env?: NodeJS.ProcessEnv): boolean;
export function onPath(name: string, env?: NodeJS.ProcessEnv): string[];
export function isExecutable(path: string): boolean;
