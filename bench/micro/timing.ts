/**
 * Does the time of a kernel depend on its secrets? A test in the manner of O. Reparaz, J. Balasch and I. Verbauwhede, "Dude,
 * is my code constant time?": two classes of input in random order, Welch's t between their times. |t| above 4.5 says that
 * they differ; below it nothing was found, which is no proof. The rows with subject `control` are functions that do leak,
 * by an early return or a branch: they show that this test, on this machine, would find such a thing.
 *
 * Both classes go the same way: their inputs lie in one pool, in random places, and are copied to one place before the clock
 * starts. What is disturbed is cut off: of several thresholds, the one that shows the largest |t| counts. The row `nothing`
 * has two classes of one kind: what is found there, the test itself has made.
 */
import type { WasmEngine } from '../../src/engine/wasm.ts';
import { SECRETS } from './aead-peers.ts';
import { type Effort, type Measurement, once, WALL_STEP_MS, withTarget } from './contest.ts';
import { BUILDS, makeEngine, pattern, Random, takeArea } from './engines.ts';
import type { Row } from './record.ts';
import { median, quantile, welchT } from './statistics.ts';

/** Bytes of the packet: header and 64 bytes. */
const SIZE = 98;
const TAG = 16;
const KEY = 32;
/** Different inputs in each class. */
const POOL = 64;
/** Calls between two looks at the clock, which has steps of some 50 ns, or of 5 µs in a page. */
const CALLS = WALL_STEP_MS < 1e-3 ? 16 : 128;
/** The same for what takes nanoseconds. */
const SHORT_CALLS = WALL_STEP_MS < 1e-3 ? CALLS : 64 * CALLS;
/** Shares of the measurements that are kept, the fastest first. */
const KEPT = [0.5, 0.75, 0.9, 1];
const REPEATS = 5;
const MEASUREMENTS = { full: 20_000, quick: 4000 };

/** Between the places of two inputs; not a power of two. */
const STRIDE = 192;

/** One thing that must not depend on its input. */
interface Suspect {
  readonly name: string;
  readonly subject: string;
  /** Input `i` of a class. Class 0 is one and the same, or one kind; class 1 is random, or the other kind. */
  input(kind: number, i: number): Uint8Array;
  /** Puts an input, or copies for all calls, where `run` takes it. */
  place(input: Uint8Array): void;
  /** The work, CALLS times. */
  run(): void;
}

/** All timing rows. */
export function timing(): Measurement[] {
  const suspects = [...BUILDS.flatMap((build) => kernels(makeEngine(build))), earlyReturn(), branch()];
  return suspects.map((suspect) => once([suspect.name], (effort) => [withTarget(examined(suspect, effort))]));
}

function examined(suspect: Suspect, effort: Effort): Row {
  const { name, subject } = suspect;
  // Another order in every run: what depends on the order is chance, and must not repeat itself.
  const random = new Random(Math.floor(performance.now() * 1000));
  const count = effort.isQuick ? MEASUREMENTS.quick : MEASUREMENTS.full;
  measured(suspect, poolOf(suspect, random), random, MEASUREMENTS.quick);
  const values = Array.from({ length: effort.isQuick ? 1 : REPEATS }, () =>
    largestT(measured(suspect, poolOf(suspect, random), random, count)),
  );
  return { name, subject, unit: 't', median: median(values), p95: quantile(values, 0.95), better: 'lower', peers: {} };
}

/** An input and its class. */
interface Input {
  readonly bytes: Uint8Array;
  readonly kind: number;
}

/** Inputs of both classes in random places of one buffer: where a class lies must not tell it apart. */
function poolOf(suspect: Suspect, random: Random): Input[] {
  const kinds = Array.from({ length: 2 * POOL }, (_, i) => i % 2);
  for (let i = kinds.length - 1; i > 0; i--) {
    const other = random.below(i + 1);
    [kinds[i], kinds[other]] = [kinds[other]!, kinds[i]!];
  }
  const inputs = kinds.map((kind, i) => suspect.input(kind, i));
  const length = inputs[0]!.length;
  const all = new Uint8Array(inputs.length * length);
  return inputs.map((input, i) => {
    all.set(input, i * length);
    return { bytes: all.subarray(i * length, (i + 1) * length), kind: kinds[i]! };
  });
}

/** Times of both classes. */
type Times = [first: number[], second: number[]];

function measured(suspect: Suspect, pool: readonly Input[], random: Random, count: number): Times {
  const times: Times = [[], []];
  const neutral = suspect.input(1, pool.length);
  const staged = new Uint8Array(neutral.length);
  for (let i = 0; i < count; i++) {
    const { bytes, kind } = pool[random.below(pool.length)]!;
    staged.set(bytes);
    // Once untimed: what reading the pool at this place drove out of the caches comes back, and the branch predictors see the
    // same before both classes.
    suspect.place(neutral);
    suspect.run();
    suspect.place(staged);
    const start = performance.now();
    suspect.run();
    times[kind]!.push(performance.now() - start);
  }
  return times;
}

function largestT([first, second]: Times): number {
  const all = [...first, ...second];
  const values = KEPT.map((share) => {
    const limit = quantile(all, share);
    const [a, b] = [first, second].map((times) => times.filter((time) => time <= limit)) as Times;
    // All in the same step of the clock: t is 0 / 0, and nothing was found.
    // So far apart that only one class is left below: the shares above tell.
    return Math.min(a.length, b.length) < all.length / 20 ? 0 : Math.abs(welchT(a, b) || 0);
  });
  return Math.max(...values);
}

/** The kernels of one engine, with the secrets that they are examined for. */
function kernels(engine: WasmEngine): Suspect[] {
  const { exports, memory, name: subject } = engine;
  const keyBytes = Math.ceil(exports.contextBytes() / 64) * 64;
  // The expanded key, and behind it where the hash starts.
  const contextBytes = keyBytes + 64;
  const context = takeArea(engine).start;
  const [spare, keyPtr] = [context + contextBytes, context + 2 * contextBytes];
  const [noncePtr, aadPtr, dataPtr] = [keyPtr + 64, keyPtr + 128, keyPtr + 192];
  const startPtr = context + keyBytes;
  const aadLength = SECRETS.aad.length;
  memory.set(SECRETS.nonce, noncePtr);
  memory.set(SECRETS.aad, aadPtr);
  const expanded = (key: Uint8Array): Uint8Array => {
    memory.set(key, keyPtr);
    exports.gcmExpand(keyPtr, spare);
    exports.gcmAad(spare, aadPtr, aadLength, spare + keyBytes);
    return memory.slice(spare, spare + contextBytes);
  };
  const sealed = (plaintext: Uint8Array): Uint8Array => {
    memory.set(plaintext, dataPtr);
    exports.gcmSeal(context, noncePtr, startPtr, aadLength, dataPtr, SIZE);
    return memory.slice(dataPtr, dataPtr + SIZE + TAG);
  };
  memory.set(expanded(SECRETS.key), context);

  const toAll = (input: Uint8Array): void => {
    for (let i = 0; i < CALLS; i++) memory.set(input, dataPtr + i * STRIDE);
  };
  const zeros = new Uint8Array(SIZE);
  const seal = (): void => {
    for (let i = 0; i < CALLS; i++) exports.gcmSeal(context, noncePtr, startPtr, aadLength, dataPtr + i * STRIDE, SIZE);
  };
  const open = (): void => {
    for (let i = 0; i < CALLS; i++) exports.gcmOpen(context, noncePtr, startPtr, aadLength, dataPtr + i * STRIDE, SIZE);
  };
  const crc = (): void => {
    for (let i = 0; i < CALLS; i++) exports.crc32(dataPtr + i * STRIDE, SIZE);
  };
  const expand = (): void => {
    for (let i = 0; i < CALLS; i++) exports.gcmExpand(keyPtr, spare);
  };
  const toContext = (input: Uint8Array): void => {
    memory.set(input, context);
    toAll(zeros);
  };
  const withFirstKey = (input: Uint8Array): void => {
    memory.set(firstContext, context);
    toAll(input);
  };
  const firstContext = memory.slice(context, context + contextBytes);
  const message = (kind: number, i: number): Uint8Array => secret(SIZE, kind, i);
  const key = (kind: number, i: number): Uint8Array => secret(KEY, kind, i);
  return [
    { name: 'timing seal plaintext', subject, input: message, place: withFirstKey, run: seal },
    { name: 'timing seal key', subject, input: (kind, i) => expanded(key(kind, i)), place: toContext, run: seal },
    {
      name: 'timing open plaintext',
      subject,
      input: (kind, i) => sealed(message(kind, i)),
      place: withFirstKey,
      run: open,
    },
    {
      name: 'timing open tag',
      subject,
      input: (kind, i) => damaged(sealed(message(1, i)), SIZE + kind * (TAG - 1)),
      place: withFirstKey,
      run: open,
    },
    { name: 'timing expand key', subject, input: key, place: (input) => memory.set(input, keyPtr), run: expand },
    { name: 'timing crc32', subject, input: message, place: toAll, run: crc },
    { name: 'timing nothing', subject, input: (_, i) => message(1, i), place: withFirstKey, run: seal },
  ];
}

/** Zeros, or random bytes. */
function secret(length: number, kind: number, i: number): Uint8Array {
  return kind === 0 ? new Uint8Array(length) : pattern(length, i + 1);
}

/** One bit of byte `at` is wrong. */
function damaged(message: Uint8Array, at: number): Uint8Array {
  message[at]! ^= 1;
  return message;
}

/** Compares tags and stops at the first difference, as one must not. */
function earlyReturn(): Suspect {
  const expected = pattern(TAG);
  const given = new Uint8Array(TAG);
  const isEqual = (a: Uint8Array, b: Uint8Array): boolean => {
    for (let i = 0; i < TAG; i++) if (a[i] !== b[i]) return false;
    return true;
  };
  return {
    name: 'timing early return',
    subject: 'control',
    input: (kind) => damaged(expected.slice(), kind * (TAG - 1)),
    place: (input) => given.set(input),
    run: () => {
      let equal = 0;
      for (let i = 0; i < SHORT_CALLS; i++) if (isEqual(expected, given)) equal++;
      if (equal > 0) throw new Error('a damaged tag was taken for the right one');
    },
  };
}

/** A CRC bit by bit, with a branch on each bit. */
function branch(): Suspect {
  const data = new Uint8Array(SIZE);
  const crc = (bytes: Uint8Array): number => {
    let register = -1;
    for (const byte of bytes) {
      register ^= byte;
      for (let bit = 0; bit < 8; bit++) {
        const isOdd = (register & 1) !== 0;
        register >>>= 1;
        if (isOdd) register ^= 0xedb8_8320;
      }
    }
    return register;
  };
  return {
    name: 'timing branch',
    subject: 'control',
    input: (kind, i) => secret(SIZE, kind, i),
    place: (input) => data.set(input),
    run: () => {
      let odd = 0;
      for (let i = 0; i < CALLS; i++) odd += crc(data) & 1;
      if (odd > CALLS) throw new Error('more odd ones than there are');
    },
  };
}
