// Types of chromium.mjs, which is no TypeScript because scripts run it without a build.

/** One that starts, or why there is none. */
export type Found =
  | { readonly path: string; readonly version: string; readonly args: readonly string[]; readonly missing?: undefined }
  | { readonly missing: string };

export function findChromium(where?: { env?: NodeJS.ProcessEnv; isRoot?: boolean }): Found;
