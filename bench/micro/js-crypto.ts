/**
 * AEAD and CRC for the JavaScript receiver: node:crypto and zlib, and in a page, whose own AEAD answers by promise only, the
 * fastest libraries that answer at once.
 */
import { createDecipheriv, createSecretKey } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { makeStablelib } from './aead-peers.ts';
import type { Primitives } from './js-receiver.ts';
import { HAS_NODE, loadPeer, versionOf } from './runtime.ts';

const FRAME_HEADER = 20;
const TAG = 16;

/** Primitives under the name that a contestant with them has. */
export interface Named extends Primitives {
  readonly name: string;
  readonly version: string;
}

/** The best of this runtime, for one key. @returns Undefined when a library is missing. */
export async function primitivesFor(key: Uint8Array): Promise<Named | undefined> {
  return HAS_NODE ? native(key) : libraries(key);
}

function native(key: Uint8Array): Named {
  const secret = createSecretKey(key);
  const nonce = Buffer.alloc(12);
  const aad = Buffer.alloc(4);
  const tag = Buffer.alloc(TAG);
  const decrypt = (frame: Uint8Array): Uint8Array | undefined => {
    const end = frame.length - TAG;
    // Copying these few bytes is cheaper than three views of them.
    for (let i = 0; i < 4; i++) aad[i] = frame[4 + i]!;
    for (let i = 0; i < 12; i++) nonce[i] = frame[8 + i]!;
    for (let i = 0; i < TAG; i++) tag[i] = frame[end + i]!;
    const decipher = createDecipheriv('aes-256-gcm', secret, nonce);
    decipher.setAAD(aad);
    decipher.setAuthTag(tag);
    const plaintext = decipher.update(frame.subarray(FRAME_HEADER, end));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return plaintext;
  };
  return { name: 'js', version: versionOf('openssl'), decrypt, crc32 };
}

async function libraries(key: Uint8Array): Promise<Named | undefined> {
  const gcm = await makeStablelib(key);
  const crc = await loadPeer<{ buf(data: Uint8Array): number }>('crc-32');
  if (gcm === undefined || crc === undefined) return undefined;
  const { context } = gcm;
  const { buf } = crc.module;
  const decrypt = (frame: Uint8Array): Uint8Array | undefined => {
    const plaintext = new Uint8Array(frame.length - FRAME_HEADER - TAG);
    const sealed = frame.subarray(FRAME_HEADER);
    return context.open(frame.subarray(8, 20), sealed, frame.subarray(4, 8), plaintext) ?? undefined;
  };
  return {
    name: 'js stablelib',
    version: `${gcm.version}, crc-32 ${crc.version}`,
    decrypt,
    crc32: (bytes) => buf(bytes) >>> 0,
  };
}
