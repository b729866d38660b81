import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PilotError } from '../../src/errors.ts';
import {
  Address,
  formatAddress,
  parsePort,
  parseSocketAddress,
  readAddress,
  writeAddress,
} from '../../src/wire/address.ts';
import { fromHex, toHex } from '../../src/wire/base64.ts';
import { random } from '../reference/hostile.ts';
import { readVectors } from '../vectors/folder.ts';

interface Invalid {
  text: string;
  error_class: string;
}
interface Valid {
  text: string;
  canonical: string;
  network: number;
  node: number;
}

type Lists<V> = { valid: V[]; invalid: Invalid[] };

const ADDRESSES = readVectors<Lists<Valid & { bytes: string }>>('addresses');
const SOCKET_ADDRESSES = readVectors<Lists<Valid & { port: number }>>('socket-addresses');

/** What a call throws; undefined when it does not. */
function thrown(call: () => unknown): PilotError | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(PilotError);
    return error as PilotError;
  }
}

/** The reference tells its errors apart by class; ours has two codes. */
function codeOf(errorClass: string): string {
  return errorClass === 'network_mismatch' ? 'ADDRESS_NETWORK_MISMATCH' : 'ADDRESS_INVALID';
}

describe('recorded addresses', () => {
  test.each(ADDRESSES.valid)('$text is read, printed and carried as recorded', (vector) => {
    const address = Address.parse(vector.text);
    expect({ network: address.network, node: address.node }).toEqual({ network: vector.network, node: vector.node });
    expect(`${address}`).toBe(vector.canonical);
    expect(JSON.stringify({ address })).toBe(`{"address":"${vector.canonical}"}`);
    const bytes = new Uint8Array(6);
    writeAddress(new DataView(bytes.buffer), 0, address.network, address.node);
    expect(toHex(bytes)).toBe(vector.bytes);
    expect(readAddress(new DataView(fromHex(vector.bytes)!.buffer), 0).equals(address)).toBe(true);
  });

  test.each(ADDRESSES.invalid)('$text is refused: $error_class', ({ text, error_class }) => {
    expect(thrown(() => Address.parse(text))?.code).toBe(codeOf(error_class));
  });

  test.each(SOCKET_ADDRESSES.valid)('$text is read with its port', (vector) => {
    const { address, port } = parseSocketAddress(vector.text);
    expect({ network: address.network, node: address.node, port }).toEqual({
      network: vector.network,
      node: vector.node,
      port: vector.port,
    });
    expect(`${address}:${port}`).toBe(vector.canonical);
  });

  test.each(SOCKET_ADDRESSES.invalid)('$text is no socket address: $error_class', ({ text, error_class }) => {
    expect(thrown(() => parseSocketAddress(text))?.code).toBe(codeOf(error_class));
  });
});

describe('the table of DP 1.2', () => {
  test.each([
    ['0:0000.0000.0001', 0, 1],
    ['1:0001.F291.0004', 1, 0xf2910004],
    ['1:0001.f291.0004', 1, 0xf2910004],
    ['00:0000.0000.0001', 0, 1],
    ['65535:FFFF.FFFF.FFFF', 65535, 0xffffffff],
  ])('%s is read', (text, network, node) => {
    const address = Address.parse(text);
    expect([address.network, address.node]).toEqual([network, node]);
  });

  test.each([
    ['0:A91F.0000.7C2E', 'ADDRESS_NETWORK_MISMATCH'],
    ['1:00A3.F291.0004', 'ADDRESS_NETWORK_MISMATCH'],
    ['7:FFFF.FFFF.FFFF', 'ADDRESS_NETWORK_MISMATCH'],
    ['0:0000.0001', 'ADDRESS_INVALID'],
  ])('%s is refused', (text, code) => {
    expect(thrown(() => Address.parse(text))?.code).toBe(code);
  });
});

describe('the published example 0:A91F.0000.7C2E', () => {
  test('is refused with both readings as hint', () => {
    const error = thrown(() => Address.parse('0:A91F.0000.7C2E'));
    expect(error?.hint).toContain('43295:A91F.0000.7C2E');
    expect(error?.hint).toContain('0:0000.0000.7C2E');
    for (const [reading] of error!.hint!.matchAll(/\d+:[0-9A-F.]{14}/g)) {
      expect(`${Address.parse(reading)}`).toBe(reading);
    }
  });

  test('is 48 bits when read leniently', () => {
    const address = Address.parse('0:A91F.0000.7C2E', { lenient: true });
    expect([address.network, address.node]).toEqual([0xa91f, 0x00007c2e]);
  });
});

test('lenient reading forgives nothing but the network', () => {
  for (const { text, error_class } of ADDRESSES.invalid) {
    const code = thrown(() => Address.parse(text, { lenient: true }))?.code;
    expect(code).toBe(error_class === 'network_mismatch' ? undefined : 'ADDRESS_INVALID');
  }
});

test('an address without a port is not read as one with a port', () => {
  expect(thrown(() => parseSocketAddress('0:0000.0000.0001'))?.message).toContain('want <address>:<port>');
});

test('a message repeats only the start of a long text', () => {
  expect(thrown(() => Address.parse('x'.repeat(100_000)))!.message.length).toBeLessThan(200);
});

test('numbers that are no address are misuse', () => {
  expect(() => new Address(65536, 0)).toThrow(RangeError);
  expect(() => new Address(-1, 0)).toThrow(RangeError);
  expect(() => new Address(0, 0x1_0000_0000)).toThrow(RangeError);
  expect(() => new Address(0, 1.5)).toThrow(RangeError);
  expect(() => new Address(0, Number.NaN)).toThrow(RangeError);
});

test('addresses equal each other by both numbers', () => {
  expect(new Address(1, 2).equals(new Address(1, 2))).toBe(true);
  expect(new Address(1, 2).equals(new Address(0, 2))).toBe(false);
  expect(new Address(1, 2).equals(new Address(1, 3))).toBe(false);
});

test.each([
  ['0', 0],
  ['65535', 65535],
  ['00080', 80],
  ['0'.repeat(1_000), 0],
  ['65536', undefined],
  ['', undefined],
  ['+1', undefined],
  ['-1', undefined],
  ['1_0', undefined],
  ['0x50', undefined],
  ['1e3', undefined],
  [' 80', undefined],
  ['80\n', undefined],
  ['８０', undefined],
  ['9'.repeat(1_000), undefined],
])('parsePort(%j)', (text, port) => {
  expect(parsePort(text)).toBe(port);
});

test('parse reads back what any address prints', () => {
  const u16 = fc.integer({ min: 0, max: 0xffff });
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  fc.assert(
    fc.property(u16, u32, u16, (network, node, port) => {
      const address = new Address(network, node);
      expect(Address.parse(address.toString())).toEqual(address);
      expect(formatAddress(network, node)).toBe(address.toString());
      expect(parseSocketAddress(`${address}:${port}`)).toEqual({ address, port });
      const view = new DataView(new ArrayBuffer(10));
      writeAddress(view, 3, network, node);
      expect(readAddress(view, 3)).toEqual(address);
    }),
    { seed: 1, numRuns: 200 },
  );
});

test('any text either is an address or throws a PilotError', () => {
  const source = random(1);
  const letters = '0123456789abcdefABCDEFxX:.:. +-_\u0000é';
  for (let i = 0; i < 5_000; i++) {
    const start = source.chance(0.5) ? '1:0001.F291.0004:80'.slice(0, source.below(20)) : '';
    let text = start;
    for (let n = source.below(8); n > 0; n--) text += letters[source.below(letters.length)];
    for (const parse of [Address.parse, parseSocketAddress]) {
      const error = thrown(() => parse(text));
      if (error !== undefined) expect(error.code).toMatch(/^ADDRESS_/);
    }
  }
});
