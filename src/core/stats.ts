/**
 * Counters of one endpoint. Every byte that is thrown away is counted here under the reason, and nowhere else.
 */

/** Why a datagram, frame, packet, message or request was dropped. */
export const DROP_REASONS = [
  'noSlot',
  'tooShort',
  'unknownMagic',
  'plaintext',
  'punch',
  'fragment',
  'notFromBeacon',
  'beaconMalformed',
  'beaconUnasked',
  'otherCarrier',
  'carrierFull',
  'relayMismatch',
  'noSession',
  'retiredEpoch',
  'aeadFailed',
  'replay',
  'outsideWindow',
  'tooManyEpochs',
  'badPacket',
  'badChecksum',
  'spoofed',
  'ownId',
  'notRegistered',
  'wrongRecipient',
  'exchangeMalformed',
  'exchangeLimited',
  'exchangeDuplicate',
  'exchangeBudget',
  'exchangeQueueFull',
  'exchangeUnknownNode',
  'exchangeKeyMismatch',
  'exchangeBadSignature',
  'exchangeBadPoint',
  'candidateLimited',
  'sessionsFull',
  'peersFull',
  'anonymousExchange',
  'untrusted',
  'synLimited',
  'connectionsFull',
  'noConnection',
  'unknownProtocol',
  'controlUnknown',
  'controlLimited',
  'datagramNoListener',
  'datagramQueueFull',
  'pendingFull',
  'trustMalformed',
  'trustLimited',
  'trustRefused',
  'registryMalformed',
  'outboxFull',
  'noPath',
] as const;

/** One of the reasons above. */
export type DropReason = (typeof DROP_REASONS)[number];

/** Mutable totals of one endpoint; `drops` only has reasons that occurred. */
export class Counters {
  datagramsReceived = 0;
  datagramsSent = 0;
  bytesReceived = 0;
  bytesSent = 0;
  framesOpened = 0;
  framesSealed = 0;
  keyExchanges = 0;
  rekeys = 0;
  capabilitiesLost = 0;
  readonly #drops = new Map<DropReason, number>();

  drop(reason: DropReason): void {
    this.#drops.set(reason, (this.#drops.get(reason) ?? 0) + 1);
  }

  dropped(reason: DropReason): number {
    return this.#drops.get(reason) ?? 0;
  }

  /** A copy of all drop counters that are not zero. */
  drops(): Partial<Record<DropReason, number>> {
    return Object.fromEntries(this.#drops) as Partial<Record<DropReason, number>>;
  }
}
