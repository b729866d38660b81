/** Bundles what drives the addon. @returns The path of the program. */
export function bundleLife(directory: string): Promise<string>;
