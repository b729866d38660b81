import { createHash, X509Certificate } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createFiles } from '../../../bindings/node/files.ts';
import { loadOrCreateCertificate, readCertificate, type ServerCertificate } from '../../../bindings/node/tls.ts';

const YEAR_MS = 365.25 * 86_400_000;
let directory: string;
let made: ServerCertificate;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'pilotwire-tls-'));
  made = await loadOrCreateCertificate(createFiles(), join(directory, 'first'), ['rendezvous.example', '192.0.2.7']);
});

afterAll(() => rmSync(directory, { recursive: true }));

test('the pin is the SHA-256 of the DER, in lower-case hex', () => {
  const der = new X509Certificate(made.certificate).raw;
  expect(made.pin).toBe(createHash('sha256').update(der).digest('hex'));
  expect(made.pin).toMatch(/^[0-9a-f]{64}$/);
});

test('the certificate is self-signed, P-256, for ten years, and no CA', () => {
  const certificate = new X509Certificate(made.certificate);
  expect(certificate.verify(certificate.publicKey)).toBe(true);
  expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
  expect(certificate.ca).toBe(false);
  const [from, to] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  expect(from).toBeLessThan(Date.now());
  expect((to - from) / YEAR_MS).toBeCloseTo(10, 1);
});

test('it names localhost, the loopback addresses and the hosts given', () => {
  const certificate = new X509Certificate(made.certificate);
  expect(certificate.checkHost('localhost')).toBe('localhost');
  expect(certificate.checkHost('rendezvous.example')).toBe('rendezvous.example');
  for (const address of ['127.0.0.1', '::1', '192.0.2.7']) expect(certificate.checkIP(address)).toBeDefined();
  expect(certificate.checkHost('example.org')).toBeUndefined();
});

test('it is kept in one file of mode 0600 and comes back the same, whatever hosts are asked for', async () => {
  const path = join(directory, 'first');
  expect(readdirSync(path)).toEqual(['tls.pem']);
  if (process.platform !== 'win32') expect(statSync(join(path, 'tls.pem')).mode & 0o777).toBe(0o600);
  const again = await loadOrCreateCertificate(createFiles(), path, ['other.example']);
  expect(again.pin).toBe(made.pin);
  expect(again.key.trim()).toBe(made.key.trim());
  expect(new X509Certificate(again.certificate).raw).toEqual(new X509Certificate(made.certificate).raw);
});

test('two directories get two keys and two serial numbers', async () => {
  const other = await loadOrCreateCertificate(createFiles(), join(directory, 'second'));
  expect(other.pin).not.toBe(made.pin);
  const serial = (one: ServerCertificate) => new X509Certificate(one.certificate).serialNumber;
  expect(serial(other)).not.toBe(serial(made));
});

test('a damaged file, or the key of another certificate, is refused and left alone', async () => {
  const other = await loadOrCreateCertificate(createFiles(), join(directory, 'third'));
  const path = join(directory, 'first', 'tls.pem');
  const good = readFileSync(path, 'utf8');
  for (const bad of [
    '',
    'nonsense',
    made.certificate,
    made.key,
    `${other.key}\n${made.certificate}`,
    good.replace(/M/g, 'N'),
  ]) {
    writeFileSync(path, bad);
    await expect(loadOrCreateCertificate(createFiles(), join(directory, 'first'))).rejects.toMatchObject({
      code: 'IDENTITY_INVALID',
      hint: expect.stringContaining('pin'),
    });
    expect(readFileSync(path, 'utf8')).toBe(bad);
  }
  writeFileSync(path, good);
});

test('loading the library leaves Reflect as it was', () => {
  expect('getMetadata' in Reflect).toBe(false);
  expect('defineMetadata' in Reflect).toBe(false);
});

test('a certificate of the operator’s is read with its key, and a pair that is none is refused', async () => {
  const own = join(directory, 'operator');
  const files = createFiles();
  const write = async (name: string, text: string): Promise<string> => {
    await files.writeAtomic(join(own, name), new TextEncoder().encode(text));
    return join(own, name);
  };
  const [one, other] = [
    await loadOrCreateCertificate(files, join(own, 'one')),
    await loadOrCreateCertificate(files, join(own, 'other')),
  ];
  const certificateFile = await write('one.crt', one.certificate);
  const [keyFile, otherKey] = [await write('one.key', one.key), await write('other.key', other.key)];
  expect(await readCertificate(files, { certificateFile, keyFile })).toEqual({
    certificate: one.certificate,
    key: one.key,
  });
  const refused = { code: 'IDENTITY_INVALID' };
  await expect(readCertificate(files, { certificateFile, keyFile: otherKey })).rejects.toMatchObject(refused);
  const missing = join(own, 'none');
  await expect(readCertificate(files, { certificateFile: missing, keyFile })).rejects.toMatchObject(refused);
  chmodSync(keyFile, 0o644);
  await expect(readCertificate(files, { certificateFile, keyFile })).rejects.toMatchObject(refused);
});
