/** The host's view of the module (assembly/index.ts): what it exports, and the words that only its stages use. */

/** Status words of a record between the stages (assembly/pipeline.ts). */
export const STAGE = {
  /** Has a session; payloadPtr and payloadLen are those of the ciphertext, the tag of 16 bytes stands behind. */
  parsed: 16,
  /** The tag verified, the plaintext is in place: `finish` comes next. */
  opened: 17,
  /** The tag was wrong and the ciphertext is untouched: `retry` comes next. */
  refused: 18,
  /** Headers and CRC are written, the packet is not encrypted. */
  written: 19,
  /** The packet is encrypted, its tag is in the handover: `sealOn` comes next. */
  encrypted: 20,
  /** As opened, and the CRC of the packet is right. */
  checked: 21,
} as const;

/** What the module exports (assembly/index.ts). Pointers are byte offsets into the memory; the caller keeps them in it. */
export type WasmExports = {
  memoryNeeded(sessions: number): number;
  init(sessions: number, secretLow: number, secretHigh: number): void;
  receiveRecords(): number;
  transmitRecords(): number;
  keyInput(): number;
  install(owner: number, localId: number, peerId: number, prefix: number): number;
  wipe(session: number): void;
  sealed(session: number): number;
  /** Uses up send counters without sealing. */
  spend(session: number, frames: number): void;
  sessionCount(): number;
  /** Bytes of a session's key, or 0. */
  keyOf(session: number): number;
  /** `count`, or the index of a record that is for another AEAD: do it, then `openOn`, until it answers `count`. */
  open(owner: number, count: number): number;
  openOn(owner: number, index: number, count: number): number;
  /** The same for sealing. */
  seal(count: number): number;
  sealOn(index: number, count: number): number;
  /** Packets of at least so many bytes are for another AEAD; at first none is. */
  nativeFrom(bytes: number): void;
  /** Where aad (4 bytes), nonce (12) and tag (16) of such a packet are exchanged. */
  handover(): number;
  /**
   * The stages of `open` for a batch: `parse`, then `aead` and `retry` until it answers 0, then `finish`. Sessions may come
   * and go in between; the ack word of a record says which one was meant, and is to be left alone.
   */
  parse(owner: number, count: number): void;
  aead(count: number): void;
  retry(owner: number, count: number): number;
  finish(count: number): void;
  /**
   * The stages of `open` with an AEAD of the host that takes whole batches: `choose`, which answers where the part ends that may
   * be opened now, then the AEAD, then `judge`, until `choose` answered `count`. The word of the kind of a parsed record is the
   * place of its key.
   */
  choose(owner: number, first: number, count: number): number;
  judge(owner: number, first: number, end: number): void;
  /**
   * The same for `seal`: `write`, then the AEAD, which makes CRCs, tags and lengths, then `sealRest` for what it left. The word
   * of the frame's length of a written record is the place of its key.
   */
  write(count: number): void;
  sealRest(count: number): void;
  /**
   * The route table itself, for tests and benches: (owner, node id) → index of the newest session + 1, or 0. Of what they set
   * and remove, sessions know nothing. `routeFindBatch` looks up the words `RX.sender` of the first receive records and
   * answers in `RX.note`. `routeSet` answers 0 when there is no place.
   */
  routeFind(owner: number, node: number): number;
  routeFindBatch(owner: number, count: number): void;
  routeSet(owner: number, node: number, value: number): number;
  routeRemove(owner: number, node: number): void;
  /** The kernels themselves, for tests and benches; a context of `contextBytes()` bytes is the caller's, 16-byte aligned. */
  crc32(ptr: number, len: number): number;
  contextBytes(): number;
  gcmExpand(keyPtr: number, contextPtr: number): void;
  /** Where the hashes of all messages with this aad, 0 to 16 bytes, start: 16 bytes for `gcmSeal` and `gcmOpen`. */
  gcmAad(contextPtr: number, aadPtr: number, aadLen: number, startPtr: number): void;
  gcmSeal(contextPtr: number, noncePtr: number, startPtr: number, aadLen: number, dataPtr: number, len: number): void;
  /** 1 when the tag verified; 0 leaves the data as it was. */
  gcmOpen(contextPtr: number, noncePtr: number, startPtr: number, aadLen: number, dataPtr: number, len: number): number;
};
