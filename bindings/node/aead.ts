/**
 * AES-256-GCM of node:crypto for long packets. Keys are `KeyObject`s, in memory that OpenSSL wipes when the last
 * reference is gone. Plaintext that OpenSSL hands out before it has seen the tag stays here until it has, and is wiped.
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';
import type { Aead } from '../../src/engine/aead.ts';

const ALGORITHM = 'aes-256-gcm';

/** Makes it. */
export function createAead(): Aead<KeyObject> {
  return {
    name: 'node:crypto',
    importKey: (key) => createSecretKey(key),
    // There is nothing to do but to let go.
    forget: () => {},
    seal: (key, { nonce, aad, data, tag }) => {
      const cipher = createCipheriv(ALGORITHM, key, nonce);
      cipher.setAAD(aad);
      const ciphertext = cipher.update(data);
      cipher.final();
      tag.set(cipher.getAuthTag());
      data.set(ciphertext);
    },
    open: (key, { nonce, aad, data, tag }) => {
      const decipher = createDecipheriv(ALGORITHM, key, nonce);
      decipher.setAAD(aad);
      decipher.setAuthTag(tag);
      const plaintext = decipher.update(data);
      const isOpen = verifies(decipher);
      if (isOpen) data.set(plaintext);
      plaintext.fill(0);
      return isOpen;
    },
  };
}

/** Whether the tag is that of what was decrypted: `final` throws when it is not. */
function verifies(decipher: { final(): unknown }): boolean {
  try {
    decipher.final();
    return true;
  } catch {
    return false;
  }
}
