/**
 * The files a listener speaks TLS with, read and checked as a whole: a certificate chain, its key,
 * and the authorities that client certificates must come from.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { serverEndPoint } from './end-point.ts';

export interface KeyFilePaths {
  readonly certFile: string;
  readonly keyFile: string;
  /** Absent: client certificates are not asked for. */
  readonly clientCaFile?: string | undefined;
}

export interface KeyMaterial {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string | undefined;
  /** The binding data of SCRAM-SHA-256-PLUS; absent where the certificate cannot be bound to. */
  readonly endPoint: Buffer | undefined;
  /** When the certificate ends, in milliseconds since 1970. */
  readonly notAfterMs: number;
}

/** A chain of a dozen certificates has some 20 kB. */
const KEY_FILE_BYTES_MAX = 1_048_576;

/** @throws Error with the file and what is wrong with it; never with what is in a key. */
export function readKeyMaterial({ certFile, keyFile, clientCaFile }: KeyFilePaths): KeyMaterial {
  const cert = readPem(certFile);
  const key = readPem(keyFile);
  const clientCa = clientCaFile === undefined ? undefined : readPem(clientCaFile);
  const leaf = parsed(certFile, () => new X509Certificate(cert));
  const privateKey = parsed(keyFile, () => createPrivateKey(key));
  if (!leaf.checkPrivateKey(privateKey)) {
    throw new Error(`${keyFile} is not the key of the first certificate in ${certFile}`);
  }
  if (clientCaFile !== undefined) parsed(clientCaFile, () => new X509Certificate(clientCa ?? ''));
  const endPoint = serverEndPoint(leaf.raw);
  return Object.freeze({ cert, key, clientCa, endPoint, notAfterMs: leaf.validToDate.getTime() });
}

function readPem(path: string): string {
  try {
    const { size } = statSync(path);
    if (size <= KEY_FILE_BYTES_MAX) return readFileSync(path, 'utf8');
    throw new Error(`${size} bytes, ${KEY_FILE_BYTES_MAX} is the limit`);
  } catch (error) {
    throw new Error(`${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

function parsed<T>(path: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new Error(`${path} holds no PEM that can be used: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
