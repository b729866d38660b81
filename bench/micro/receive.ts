/**
 * M5: a frame on its way in, from the socket's bytes to a record with all fields, against the same in JavaScript. The JS
 * is held to account too: its own peer is nothing but its node:crypto open and zlib.crc32. In a page it is JS throughout.
 */
import { createDecipheriv, createSecretKey } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { BATCH } from '../../src/engine/engine.ts';
import { type Contestant, contest, type Measurement } from './contest.ts';
import { BUILDS, makeEngine, WASM } from './engines.ts';
import { FrameRig, PACKET_HEADER, SENDER } from './frames.ts';
import { type Named, primitivesFor } from './js-crypto.ts';
import { JsReceiver, OUTCOME } from './js-receiver.ts';
import { HAS_NODE, note, received, versionOf } from './runtime.ts';

/** Bytes of payload. */
const SIZES = [64, 1200];

/** All of M5. */
export function receive(): Measurement[] {
  return SIZES.flatMap((size) => [receiving(size, 1), receiving(size, BATCH)]);
}

function receiving(size: number, batch: number): Measurement {
  const name = `M5 ${batch === 1 ? 'one' : 'batch'} ${size}`;
  const rows = [
    { name, subjects: WASM, peers: ['js', 'js stablelib'] },
    ...(batch === 1 ? [{ name, subjects: ['js'], peers: ['node:crypto'] }] : []),
  ];
  return contest(rows, async () => {
    const rigs = BUILDS.map((build) => new FrameRig(makeEngine(build), PACKET_HEADER + size));
    const frames = rigs[0]!.frames.map((frame) => received(frame));
    const engines = rigs.map((rig) => ({ ...rig.receiver(batch), name: rig.engine.name, version: '' }));
    const primitives = await primitivesFor(SENDER.key);
    if (!HAS_NODE) note('js', 'with node:crypto and zlib, which are not in a page; js stablelib stands in for it');
    return [
      ...engines,
      ...(primitives === undefined ? [] : [inJs(frames, batch, primitives)]),
      ...(HAS_NODE ? [floor(Buffer.from(frames[1]!))] : []),
    ];
  });
}

function inJs(frames: readonly Uint8Array[], batch: number, primitives: Named): Contestant {
  const { name, version, decrypt, crc32 } = primitives;
  const receiver = new JsReceiver(crc32);
  const { packet } = receiver;
  const open = (frame: Uint8Array): number => {
    const outcome = receiver.open(frame);
    if (outcome !== OUTCOME.ok) throw new Error(`open answered ${outcome}`);
    const nodes = packet.sourceNode + packet.destinationNode + packet.sourceNetwork + packet.destinationNetwork;
    const numbers = packet.seq + packet.ack + packet.window + packet.kind + packet.payloadLength;
    return nodes + numbers + packet.sourcePort + packet.destinationPort;
  };
  return {
    name,
    version,
    step: batch,
    most: frames.length - 1 - ((frames.length - 1) % batch),
    prepare() {
      receiver.install(SENDER.nodeId, decrypt);
      open(frames[0]!);
    },
    run(count) {
      let sum = 0;
      for (let i = 1; i <= count; i++) sum += open(frames[i]!);
      return sum;
    },
  };
}

/** One frame over and over, all views made before: what no JavaScript around it can get below. */
function floor(frame: Buffer): Contestant {
  const key = createSecretKey(SENDER.key);
  const aad = frame.subarray(4, 8);
  const nonce = frame.subarray(8, 20);
  const ciphertext = frame.subarray(20, -16);
  const tag = frame.subarray(-16);
  return {
    name: 'node:crypto',
    version: versionOf('openssl'),
    run(count) {
      let sum = 0;
      for (let i = 0; i < count; i++) {
        const decipher = createDecipheriv('aes-256-gcm', key, nonce);
        decipher.setAAD(aad);
        decipher.setAuthTag(tag);
        const plaintext = decipher.update(ciphertext);
        decipher.final();
        sum += crc32(plaintext);
      }
      return sum;
    },
  };
}
