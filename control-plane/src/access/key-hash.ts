/**
 * What is kept of an API key: a slow hash that recognises it, and a SCRAM verifier that lets it log
 * in to the console.
 * Source: RFC 7914 (scrypt); RFC 5802 and RFC 7677 (SCRAM-SHA-256) with the text of a verifier as
 * PostgreSQL keeps it. Keys are ASCII, which SASLprep leaves as it is.
 */
import { createHash, createHmac, pbkdf2, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import type { KeyProof } from '../domain/api-key/events.ts';

/** 32 MiB and about 0.1 s for each try. What is kept states its own, so that this can be raised. */
export const SCRYPT_COST = Object.freeze({ N: 32_768, r: 8, p: 1 });
const HASH_BYTES = 32;
const SALT_BYTES = 16;
const SCRAM_ITERATIONS = 4_096;
const HASH_TEXT = /^scrypt\$N=(\d+),r=(\d+),p=(\d+)\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)$/;

const pbkdf2Async = promisify(pbkdf2);

/** Off the event loop. */
export async function proofOf(key: string): Promise<KeyProof> {
  const [hash, verifier] = await Promise.all([hashOf(key), verifierOf(key)]);
  return Object.freeze({ hash, verifier });
}

/** Whether `key` is the one that `hash` was made of; takes the same time either way. */
export async function isKeyOf(hash: string, key: string): Promise<boolean> {
  const parts = HASH_TEXT.exec(hash);
  assert(parts !== null, 'the hash of a key is one that was made here');
  const [, N, r, p, salt = '', expected = ''] = parts;
  const cost = { N: Number(N), r: Number(r), p: Number(p) };
  const found = await derive(key, Buffer.from(salt, 'base64'), cost);
  return timingSafeEqual(found, Buffer.from(expected, 'base64'));
}

async function hashOf(key: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(key, salt, SCRYPT_COST);
  const { N, r, p } = SCRYPT_COST;
  return `scrypt$N=${N},r=${r},p=${p}$${salt.toString('base64')}$${hash.toString('base64')}`;
}

async function verifierOf(key: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const salted = await pbkdf2Async(key, salt, SCRAM_ITERATIONS, HASH_BYTES, 'sha256');
  const storedKey = createHash('sha256').update(hmac(salted, 'Client Key')).digest('base64');
  const serverKey = hmac(salted, 'Server Key').toString('base64');
  return `SCRAM-SHA-256$${SCRAM_ITERATIONS}:${salt.toString('base64')}$${storedKey}:${serverKey}`;
}

interface Cost {
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

function derive(key: string, salt: Buffer, cost: Cost): Promise<Buffer> {
  // Node refuses what needs more than 32 MiB unless it is told how much may be needed.
  const maxmem = 256 * cost.N * cost.r * cost.p;
  return new Promise((resolve, reject) => {
    scrypt(key, salt, HASH_BYTES, { ...cost, maxmem }, (error, derived) => {
      if (error === null) resolve(derived);
      else reject(error);
    });
  });
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
