/**
 * Public-key operations that take virtual time, as where only WebCrypto does them: answers come by promise, later, and
 * not always in the order of the questions.
 */
import type { PublicKeyJobs } from '../carrier/host.ts';

/** @param later - Runs a callback after some time. */
export function delayedJobs(jobs: PublicKeyJobs, later: (callback: () => void) => void): PublicKeyJobs {
  // Computed at once, for arguments are the caller's again when the call returns.
  const delay = <T>(answer: () => T | Promise<T>): Promise<T> => {
    const result = (async () => answer())();
    result.catch(() => {});
    return new Promise((resolve) => later(() => resolve(result)));
  };
  return {
    importIdentity: (seed) => delay(() => jobs.importIdentity(seed)),
    sign: (identity, message) => delay(() => jobs.sign(identity, message)),
    verify: (publicKey, message, signature) => delay(() => jobs.verify(publicKey, message, signature)),
    createExchange: (random) => delay(() => jobs.createExchange(random)),
    agree: (exchange, peerPublicKey, info) => delay(() => jobs.agree(exchange, peerPublicKey, info)),
    forget: (handle) => jobs.forget(handle),
  };
}
