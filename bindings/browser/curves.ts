/** Which of two makers of keys serves in this browser. */
import { type BrowserKeys, VAULT } from './keys.ts';
import { createWebKeys } from './web-keys.ts';

/** WebCrypto where it has both curves, else the noble libraries, which are loaded now. */
export async function chooseKeys(): Promise<BrowserKeys> {
  return (await hasCurves()) ? createWebKeys() : (await import('./noble-keys.ts')).createNobleKeys(VAULT);
}

/** Asked by doing: names of algorithms are registered in browsers that cannot do them. */
async function hasCurves(): Promise<boolean> {
  // Pages that came over plain HTTP from another machine have no WebCrypto at all.
  const subtle: SubtleCrypto | undefined = crypto.subtle;
  if (subtle === undefined) return false;
  try {
    await subtle.generateKey('Ed25519', false, ['sign', 'verify']);
    await subtle.generateKey('X25519', false, ['deriveBits']);
    return true;
  } catch {
    return false;
  }
}
