/**
 * What must not stand in any committed file: paths of somebody's machine, and hosts of package registries, which a reader
 * elsewhere may not reach. Written in pieces, lest this file finds itself.
 */

const FOLDERS = ['work', 'home/[^/\\s]+', 'root', 'Users/[^/\\s]+', 'mnt', 'private/var'].map((name) => `/${name}/`);
const MACHINE = new RegExp(`(^|[\\s'"\`=(:])(${FOLDERS.join('|')})`);
const HOSTS = [
  ['registry', 'npmjs', 'org'],
  ['npmjs', 'com'],
  ['registry', 'yarnpkg', 'com'],
  ['npm', 'jsr', 'io'],
  ['pypi', 'org'],
  ['deb', 'debian', 'org'],
  ['proxy', 'golang', 'org'],
  ['crates', 'io'],
].map((parts) => parts.join('.'));

/** Lines that name a place on a machine, or a package registry. */
export function foreignPlaces(path: string, text: string): string[] {
  return text.split('\n').flatMap((line, i) => {
    const isForeign = MACHINE.test(line) || HOSTS.some((host) => line.includes(host));
    return isForeign ? [`${path}:${i + 1}`] : [];
  });
}
