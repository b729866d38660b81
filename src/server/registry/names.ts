/**
 * Which host names and tags are well formed (CP 1.8.5). The texts are those that clients know.
 */
import { REGISTRY_LIMITS } from './context.ts';

const GRAMMAR = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;
const RESERVED: ReadonlySet<string> = new Set(['localhost', 'backbone', 'broadcast']);
/** A tag list longer than this is not worth reading to the end. */
const TAGS_READ = 256;

/** @param hostname - Not empty. @returns What is wrong with it, if anything. */
export function hostnameFault(hostname: string): string | undefined {
  if (hostname.length > REGISTRY_LIMITS.hostnameLength) return 'hostname too long (max 63 chars)';
  if (!GRAMMAR.test(hostname))
    return 'hostname must be lowercase alphanumeric with hyphens, start/end with alphanumeric';
  if (RESERVED.has(hostname)) return `hostname "${hostname}" is reserved`;
  return undefined;
}

/** CP 1.4. */
export function hostnameTaken(hostname: string, holder: number): string {
  return `hostname "${hostname}" already in use by node ${holder}`;
}

/** Brings one tag into its kept form. @returns Undefined when it is none. */
export function normalTag(tag: string): string | undefined {
  const bare = tag.startsWith('#') ? tag.slice(1) : tag;
  return bare.length <= REGISTRY_LIMITS.tagLength && GRAMMAR.test(bare) ? bare : undefined;
}

/** Brings tags into their kept form, without repetitions, in order. @returns A text when they cannot be taken. */
export function normalTags(given: unknown): string[] | string {
  if (given === undefined || given === null) return [];
  if (!Array.isArray(given)) return 'tags must be a list of texts';
  const tags = new Set<string>();
  for (const item of given.slice(0, TAGS_READ) as unknown[]) {
    const tag = typeof item === 'string' ? normalTag(item) : undefined;
    if (tag === undefined) return 'tag must be lowercase alphanumeric with hyphens, 1-32 chars';
    tags.add(tag);
  }
  if (tags.size > REGISTRY_LIMITS.tags || given.length > TAGS_READ) return 'too many tags (max 10)';
  return [...tags];
}
