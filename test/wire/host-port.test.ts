import { isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../src/wire/base64.ts';
import {
  formatHostPort,
  ipBytes,
  ipText,
  isPrivateHost,
  isUnroutableTarget,
  parseHostPort,
} from '../../src/wire/host-port.ts';
import { random } from '../reference/hostile.ts';

describe('endpoints as text', () => {
  test.each([
    ['192.0.2.1:4000', '192.0.2.1', 4000],
    ['0.0.0.0:0', '0.0.0.0', 0],
    ['[2001:db8::1]:65535', '2001:db8::1', 65535],
    ['[2001:DB8:0:0:0:0:0:1]:80', '2001:db8::1', 80],
    ['[::]:9001', '::', 9001],
    ['[::ffff:192.0.2.1]:80', '192.0.2.1', 80],
    ['[fe80::1%eth0]:80', 'fe80::1', 80],
    [':9001', '::', 9001],
  ])('%s', (text, host, port) => {
    expect(parseHostPort(text)).toEqual({ host, port });
  });

  test.each([
    '',
    ':',
    '192.0.2.1',
    '192.0.2.1:',
    '192.0.2.1:65536',
    '192.0.2.1:-1',
    '192.0.2.1: 80',
    ' 192.0.2.1:80',
    '192.0.2.256:80',
    '192.0.2:80',
    '192.0.02.1:80',
    '192.0.2.1.1:80',
    '[192.0.2.1]:80',
    '2001:db8::1:80',
    '[2001:db8::1]',
    '[2001:db8::1:80',
    '[]:80',
    '[:80',
    'localhost:80',
    'example.org:80',
    `1.2.3.4:${'0'.repeat(200)}80`,
    `[fe80::1%${'x'.repeat(200)}]:80`,
  ])('%j is no endpoint', (text) => {
    expect(parseHostPort(text)).toBeUndefined();
  });

  test('formatHostPort puts brackets around a colon', () => {
    expect(formatHostPort('192.0.2.1', 80)).toBe('192.0.2.1:80');
    expect(formatHostPort('2001:db8::1', 80)).toBe('[2001:db8::1]:80');
  });
});

describe('addresses as bytes', () => {
  test.each([
    ['127.0.0.1', '7f000001', '127.0.0.1'],
    ['255.255.255.255', 'ffffffff', '255.255.255.255'],
    ['::', '00000000000000000000000000000000', '::'],
    ['::1', '00000000000000000000000000000001', '::1'],
    ['1::', '00010000000000000000000000000000', '1::'],
    ['::ffff:7f00:1', '7f000001', '127.0.0.1'],
    ['::FFFF:127.0.0.1', '7f000001', '127.0.0.1'],
    ['64:ff9b::192.0.2.33', '0064ff9b0000000000000000c0000221', '64:ff9b::c000:221'],
    ['::1.2.3.4', '00000000000000000000000001020304', '::102:304'],
    ['2001:db8:0:1:1:1:1:1', '20010db8000000010001000100010001', '2001:db8:0:1:1:1:1:1'],
    ['2001:0db8::0001:0000', '20010db8000000000000000000010000', '2001:db8::1:0'],
    ['2001:db8:0:0:1:0:0:1', '20010db8000000000001000000000001', '2001:db8::1:0:0:1'],
    ['2001:0:0:1:0:0:0:1', '20010000000000010000000000000001', '2001:0:0:1::1'],
    ['1:2:3:4:5:6:7::', '00010002000300040005000600070000', '1:2:3:4:5:6:7:0'],
    ['::2:3:4:5:6:7:8', '00000002000300040005000600070008', '0:2:3:4:5:6:7:8'],
    ['fe80::a%eth0', 'fe80000000000000000000000000000a', 'fe80::a'],
  ])('%s', (text, hex, canonical) => {
    expect(toHex(ipBytes(text)!)).toBe(hex);
    expect(ipText(fromHex(hex)!)).toBe(canonical);
  });

  test('sixteen bytes that map an IPv4 address print as IPv4', () => {
    expect(ipText(fromHex('00000000000000000000ffffc0000201')!)).toBe('192.0.2.1');
  });

  test.each([
    '',
    'localhost',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.4%eth0',
    '1.2.3.-4',
    '1.2.3.0x4',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7::8',
    '1:2:3:4:5:6:7:',
    ':1:2:3:4:5:6:7',
    '12345::',
    'g::',
    '::1.2.3',
    '::1.2.3.256',
    '1.2.3.4::',
    '::1.2.3.4:5',
    '::+1',
    `fe80::1%${'x'.repeat(200)}`,
  ])('%j is no IP address', (text) => {
    expect(ipBytes(text)).toBeUndefined();
  });

  test('text and bytes name the same address', () => {
    const v4 = fc.uint8Array({ minLength: 4, maxLength: 4 });
    const groups = fc.array(fc.constantFrom(0, 0, 1, 0x1a, 0xffff), { minLength: 8, maxLength: 8 });
    const v6 = groups.map((parts) => Uint8Array.from(parts.flatMap((part) => [part >>> 8, part & 0xff])));
    fc.assert(
      fc.property(fc.oneof(v4, v6), fc.integer({ min: 0, max: 65535 }), (bytes, port) => {
        const text = ipText(bytes);
        expect(isIP(text)).not.toBe(0);
        expect(ipText(ipBytes(text)!)).toBe(text);
        expect(parseHostPort(formatHostPort(text, port))).toEqual({ host: text, port });
        if (bytes.length === 4 || !text.includes('.')) expect(ipBytes(text)).toEqual(bytes);
      }),
      { seed: 1, numRuns: 200 },
    );
  });

  test('ipBytes takes what the platform takes', () => {
    const source = random(1);
    const letters = '0011fF:::..25';
    let taken = 0;
    for (let i = 0; i < 50_000; i++) {
      const start = source.chance(0.5) ? '::ffff:1.22.3.4'.slice(source.below(8)) : '';
      let text = start.slice(0, source.below(start.length + 1));
      for (let n = source.below(8); n > 0; n--) text += letters[source.below(letters.length)];
      const bytes = ipBytes(text);
      expect([text, bytes !== undefined]).toEqual([text, isIP(text) !== 0]);
      if (bytes !== undefined) taken++;
    }
    expect(taken).toBeGreaterThan(500);
  });
});

describe('what kind of address it is', () => {
  test.each([
    ['10.0.0.0', '10.255.255.255', '9.255.255.255', '11.0.0.0'],
    ['172.16.0.0', '172.31.255.255', '172.15.255.255', '172.32.0.0'],
    ['192.168.0.0', '192.168.255.255', '192.167.255.255', '192.169.0.0'],
    ['127.0.0.0', '127.255.255.255', '126.255.255.255', '128.0.0.0'],
    ['169.254.0.0', '169.254.255.255', '169.253.255.255', '169.255.0.0'],
    ['fc00::', 'fdff:ffff::', 'fbff::', 'fe00::'],
    ['fe80::', 'febf:ffff::', 'fe7f::', 'fec0::'],
    ['::', '::1', '::2', '1::'],
    ['0.0.0.0', '0.255.255.255', '1.0.0.0', '100.64.0.1'],
    ['::ffff:10.0.0.1', '::ffff:127.0.0.1', '::ffff:9.0.0.1', '::ffff:8.8.8.8'],
  ])('%s to %s is private, %s and %s are not', (first, last, before, after) => {
    expect([first, last, before, after].map(isPrivateHost)).toEqual([true, true, false, false]);
  });

  test.each([
    ['127.0.0.1', true],
    ['::1', true],
    ['0.0.0.0', true],
    ['0.1.2.3', true],
    ['::', true],
    ['169.254.1.1', true],
    ['fe80::1', true],
    ['fe80::1%eth0', true],
    ['223.255.255.255', false],
    ['224.0.0.1', true],
    ['239.255.255.255', true],
    ['240.0.0.1', true],
    ['255.255.255.255', true],
    ['ff02::1', true],
    ['::ffff:127.0.0.1', true],
    ['localhost', true],
    ['192.0.2.1', false],
    ['192.168.1.5', false],
    ['10.0.0.5', false],
    ['100.64.0.1', false],
    ['2001:db8::1', false],
    ['fd00::1', false],
  ])('isUnroutableTarget(%s) is %s', (host, expected) => {
    expect(isUnroutableTarget(host)).toBe(expected);
  });

  test('a name is not private', () => {
    expect(isPrivateHost('localhost')).toBe(false);
  });
});
