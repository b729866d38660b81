/**
 * Bytes that a handler may read only until it returns: afterwards they are overwritten, so that whoever kept a view
 * finds rubbish in it, as with a runtime that uses its buffers again.
 */

const RUBBISH = 0xa5;

/** Shows `bytes` to a reader, then spoils them. */
export function lend(bytes: Uint8Array, reader: (bytes: Uint8Array) => void): void {
  reader(bytes);
  bytes.fill(RUBBISH);
}
