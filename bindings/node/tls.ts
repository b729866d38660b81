/**
 * The rendezvous server's own certificate: made once, kept beside its state, known to clients by the SHA-256 of its
 * DER (decision 13). Nobody signs it and nobody checks its names or dates when it is pinned, so it must never be made
 * anew without need: a new one is a new pin for every agent.
 */
import { createHash, createPrivateKey, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { join } from 'node:path';
import type { Files } from '../../src/carrier/host.ts';
import { PilotError } from '../../src/errors.ts';

/** Key and certificate in one file, so that no crash leaves one without the other. */
const FILE_NAME = 'tls.pem';
const VALID_YEARS = 10;
/** Clocks of clients that are behind. */
const BACKDATED_MS = 86_400_000;
const CURVE = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const LOCAL_NAMES = ['localhost', '127.0.0.1', '::1'] as const;

/** A certificate with its key, as `ListenOptions.tls` wants them, and what clients pin. */
export interface ServerCertificate {
  /** PEM. */
  readonly certificate: string;
  /** PEM, PKCS #8. */
  readonly key: string;
  /** Lower-case hex SHA-256 of the certificate's DER. */
  readonly pin: string;
}

/**
 * Reads `tls.pem` of a directory, or makes it: ECDSA P-256, self-signed, 10 years, mode 0600.
 *
 * @param hosts - Names and addresses of the server besides localhost. Only a new certificate takes them in.
 * @throws PilotError `IDENTITY_INVALID` when the file is damaged or others may read it.
 */
export async function loadOrCreateCertificate(
  files: Files,
  directory: string,
  hosts: readonly string[] = [],
): Promise<ServerCertificate> {
  const path = join(directory, FILE_NAME);
  const stored = await files.read(path, { secret: true });
  if (stored !== undefined) return parseStored(path, new TextDecoder().decode(stored));
  const made = await create(hosts);
  await files.writeAtomic(path, new TextEncoder().encode(`${made.key}\n${made.certificate}\n`));
  return made;
}

/**
 * Reads a certificate, with the chain behind it, and its key from PEM files of the operator's.
 *
 * @throws PilotError `IDENTITY_INVALID` when they are not there, do not belong together, or others may read the key.
 */
export async function readCertificate(
  files: Files,
  from: { readonly certificateFile: string; readonly keyFile: string },
): Promise<{ certificate: string; key: string }> {
  const { certificateFile, keyFile } = from;
  const text = async (path: string, secret: boolean): Promise<string> =>
    new TextDecoder().decode(await files.read(path, { secret }));
  const [certificate, key] = [await text(certificateFile, false), await text(keyFile, true)];
  let cause: unknown;
  try {
    if (new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))) return { certificate, key };
  } catch (error) {
    cause = error;
  }
  const what = `${certificateFile} with ${keyFile}`;
  throw new PilotError('IDENTITY_INVALID', `Cannot use ${what}: not a certificate and its private key`, { cause });
}

function parseStored(path: string, text: string): ServerCertificate {
  const key = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/.exec(text)?.[0];
  const certificate = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(text)?.[0];
  let cause: unknown;
  try {
    if (key !== undefined && certificate !== undefined) {
      const parsed = new X509Certificate(certificate);
      if (parsed.checkPrivateKey(createPrivateKey(key))) return { certificate, key, pin: pinOf(parsed.raw) };
    }
  } catch (error) {
    cause = error;
  }
  throw new PilotError('IDENTITY_INVALID', `Cannot use ${path}: not a certificate with its private key`, {
    cause,
    hint: 'restore it from a backup; removing it makes a new one, and every agent needs the new pin',
  });
}

async function create(hosts: readonly string[]): Promise<ServerCertificate> {
  const x509 = await importX509();
  const keys = await webcrypto.subtle.generateKey(CURVE, true, ['sign', 'verify']);
  const notBefore = new Date(Date.now() - BACKDATED_MS);
  const notAfter = new Date(notBefore);
  notAfter.setUTCFullYear(notAfter.getUTCFullYear() + VALID_YEARS);
  const names = [...new Set([...LOCAL_NAMES, ...hosts])];
  const made = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: serialNumber(),
      name: 'CN=pilotwire rendezvous',
      notBefore,
      notAfter,
      keys,
      signingAlgorithm: CURVE,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension(
          names.map((value) => ({ type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const), value })),
        ),
      ],
    },
    webcrypto as Crypto,
  );
  const key = x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY');
  return { certificate: made.toString('pem'), key, pin: pinOf(new Uint8Array(made.rawData)) };
}

/** Positive, not zero, at most 20 bytes (RFC 5280 §4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString('hex');
}

function pinOf(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('hex');
}

/** The part of the metadata proposal that the library's dependency container calls while it loads. */
interface MetadataReflection {
  getMetadata?: () => unknown;
  getOwnMetadata?: () => unknown;
  defineMetadata?: () => void;
}

/**
 * Loads the library, which is large and needed once in ten years. Its container refuses to load without
 * `Reflect.getMetadata`, although nothing in it has metadata; where no polyfill is installed it sees an empty one, and
 * only while it loads.
 */
async function importX509(): Promise<typeof import('@peculiar/x509')> {
  const reflection = Reflect as MetadataReflection;
  if (reflection.getMetadata !== undefined) return await import('@peculiar/x509');
  const stub: Required<MetadataReflection> = {
    getMetadata: () => undefined,
    getOwnMetadata: () => undefined,
    defineMetadata: () => {},
  };
  Object.assign(reflection, stub);
  try {
    return await import('@peculiar/x509');
  } finally {
    // A polyfill that came meanwhile stays.
    if (reflection.getMetadata === stub.getMetadata) {
      delete reflection.getMetadata;
      delete reflection.getOwnMetadata;
      delete reflection.defineMetadata;
    }
  }
}
