/**
 * HMAC-SHA-256, made of two plain hashes: an object of Node's for each, with its native half and
 * what collects it, costs more than all that a login has to hash.
 * Owns: the pads of keys, made once for each. Leaves: what keys and texts are to their callers.
 * Source: RFC 2104, FIPS 180-4.
 */
import { hash } from 'node:crypto';
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import type { TextEncoding } from './byte-reader.ts';

const BLOCK_BYTES = 64;
const MAC_BYTES = 32;
const INNER = 0x36;
const OUTER = 0x5c;

/** Longer texts get a place of their own. */
const KEPT_TEXT_BYTES_MAX = 4_096;
/** A UTF-16 code unit has at most so many bytes in UTF-8. */
const UTF8_BYTES_MAX = 3;

interface Pads {
  readonly inner: Buffer;
  /** With room behind it for the inner hash. */
  readonly outer: Buffer;
}

/** Of bytes that stay as they are, which is so of all that a verifier or a secret is made of. */
const padsOf = new WeakMap<Buffer, Pads>();

/** What the inner hash is over: written anew for each. */
const message = Buffer.allocUnsafeSlow(BLOCK_BYTES + KEPT_TEXT_BYTES_MAX);

/** @param key at most 64 bytes, which do not change @param encoding of `text` */
export function hmacSha256(key: Buffer, text: string, encoding: TextEncoding = 'utf8'): Buffer {
  const { inner, outer } = padsFor(key);
  const textBytesMax = encoding === 'latin1' ? text.length : text.length * UTF8_BYTES_MAX;
  const room =
    textBytesMax <= KEPT_TEXT_BYTES_MAX
      ? message
      : Buffer.allocUnsafeSlow(BLOCK_BYTES + textBytesMax);
  inner.copy(room);
  const end = BLOCK_BYTES + room.write(text, BLOCK_BYTES, encoding);
  // As text: a Buffer for each would be made outside of the heap.
  outer.write(hash('sha256', room.subarray(0, end), 'binary'), BLOCK_BYTES, 'latin1');
  const mac = Buffer.alloc(MAC_BYTES);
  mac.write(hash('sha256', outer, 'binary'), 'latin1');
  return mac;
}

function padsFor(key: Buffer): Pads {
  let pads = padsOf.get(key);
  if (pads === undefined) {
    assert(key.length <= BLOCK_BYTES, 'a key of HMAC is no longer than a block of its hash');
    pads = { inner: padded(key, INNER), outer: Buffer.alloc(BLOCK_BYTES + MAC_BYTES) };
    padded(key, OUTER).copy(pads.outer);
    padsOf.set(key, pads);
  }
  return pads;
}

function padded(key: Buffer, value: number): Buffer {
  const pad = Buffer.alloc(BLOCK_BYTES, value);
  for (let i = 0; i < key.length; i++) pad[i] = value ^ (key[i] as number);
  return pad;
}
