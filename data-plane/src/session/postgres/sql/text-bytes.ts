/**
 * The effects of a text where it lies in a buffer: a text that came before, with other literals
 * perhaps, is known again without making a string of it.
 * Owns: reading the bytes of a fingerprint, and remembering effects by them. Leaves: what a
 * fingerprint is to fingerprint.ts, which says the same of a string, and the effects to effects.ts.
 */
import * as char from './characters.ts';
import { charClass, continuesName, isDigit } from './characters.ts';
import { textEffects } from './effects.ts';
import type { TextEffects } from './effects.ts';
import { INT_DIGITS_MAX } from './fingerprint.ts';
import type { LexOptions } from './tokens.ts';

const QUOTE = 0x27;
const DOUBLE_QUOTE = 0x22;
const AMPERSAND = 0x26;
const STAR = 0x2a;
const MINUS = 0x2d;
const DOT = 0x2e;
const SLASH = 0x2f;

/** What stands for the values of literals. */
const SHORT_INTEGER = Buffer.from('1');
const OTHER_NUMBER = Buffer.from('1.5');
const EMPTY_STRING = Buffer.from("''");
/** Where a token that has no fingerprint would end. */
const NONE = 0;

/** A longer text is read as a string. */
const TEXT_BYTES_MAX = 8 * 1024;
/** Of one generation; at most twice as much is kept. */
const ENTRIES_MAX = 2048;
const BYTES_MAX = 2 * 1024 * 1024;

const BYTES = 256;
const CLASSES = Uint8Array.from({ length: BYTES }, (_, code) => charClass(code));
const CONTINUES_NAME = Uint8Array.from({ length: BYTES }, (_, code) => Number(continuesName(code)));

/** FNV-1a, cut to what V8 keeps as a small integer. */
const HASH_BASIS = 0x811c9dc5 | 0;
const HASH_PRIME = 0x01000193;
const HASH_BITS = 0x3fffffff;

/** The bytes of the fingerprint that was read last, and their hash. */
const shape = new Uint8Array(TEXT_BYTES_MAX);
let length = 0;
let hash = 0;

/** One for each hash: of two fingerprints that share it, the last one is remembered. */
interface Entry {
  readonly bytes: Uint8Array;
  readonly effects: TextEffects;
}

let young = new Map<number, Entry>();
let old: ReadonlyMap<number, Entry> = new Map();
let bytes = 0;

/**
 * The effects of the text in `buffer` from `start` up to, not including, `end`: those of
 * textEffects for the text decoded from Latin-1, mostly the same object. Nothing is allocated for
 * one that is known and read with standard_conforming_strings. Never throws; takes time in
 * proportion to the text.
 */
export function bytesEffects(
  buffer: Buffer,
  start: number,
  end: number,
  options: LexOptions,
): TextEffects {
  const isKnowable = options.standardConformingStrings && end - start <= TEXT_BYTES_MAX;
  if (!isKnowable || readShape(buffer, start, end) === 0) {
    return textEffects(buffer.toString('latin1', start, end), options);
  }
  const known = young.get(hash);
  if (known !== undefined && isShape(known.bytes)) return known.effects;
  const former = old.get(hash);
  if (former !== undefined && isShape(former.bytes)) {
    keep(former);
    return former.effects;
  }
  const effects = textEffects(buffer.toString('latin1', start, end), options);
  if (effects.literals === 'do_not_matter') keep({ bytes: shape.slice(0, length), effects });
  return effects;
}

function isShape(known: Uint8Array): boolean {
  if (known.length !== length) return false;
  for (let at = 0; at < length; at++) if (known[at] !== shape[at]) return false;
  return true;
}

function keep(entry: Entry): void {
  if (young.size >= ENTRIES_MAX || bytes + entry.bytes.length > BYTES_MAX) {
    old = young;
    young = new Map();
    bytes = 0;
  }
  young.set(hash, entry);
  bytes += entry.bytes.length;
}

/** @returns how long the fingerprint is, which is in `shape` then; 0 where there is none */
function readShape(buffer: Buffer, start: number, end: number): number {
  length = 0;
  hash = HASH_BASIS;
  let at = start;
  let copied = start;
  while (at < end) {
    const code = buffer[at] as number;
    const type = CLASSES[code] as number;
    const next = tokenEnd(buffer, at, end, type, code);
    if (next === NONE) return 0;
    if (type === char.DIGIT || type === char.QUOTE) {
      append(buffer, copied, at);
      const value = type === char.DIGIT ? numberValue(buffer, at, next) : EMPTY_STRING;
      append(value, 0, value.length);
      copied = next;
    }
    at = next;
  }
  append(buffer, copied, end);
  hash &= HASH_BITS;
  return length;
}

function append(from: Uint8Array, start: number, end: number): void {
  let mixed = hash;
  let to = length;
  for (let at = start; at < end; at++) {
    const code = from[at] as number;
    shape[to++] = code;
    mixed = Math.imul(mixed ^ code, HASH_PRIME);
  }
  hash = mixed;
  length = to;
}

/** Where a token, or a part of one, ends that begins at `at`. */
function tokenEnd(buffer: Buffer, at: number, end: number, type: number, code: number): number {
  switch (type) {
    case char.NAME: {
      const next = nameEnd(buffer, at, end);
      return next < end && buffer[next] === QUOTE ? NONE : next;
    }
    case char.DIGIT:
      return numberEnd(buffer, at, end);
    case char.QUOTE:
      return buffer[at - 1] === AMPERSAND ? NONE : stringEnd(buffer, at, end);
    case char.DOUBLE_QUOTE: {
      let next = at + 1;
      while (next < end && buffer[next] !== DOUBLE_QUOTE) next += 1;
      return next < end ? next + 1 : NONE;
    }
    case char.DOLLAR:
      return isDigitAt(buffer, at + 1, end) ? nameEnd(buffer, at + 1, end) : NONE;
    case char.DOT:
      return isDigitAt(buffer, at + 1, end) ? NONE : at + 1;
    case char.OPERATOR:
      return beginsComment(buffer, at, end, code) ? NONE : at + 1;
    case char.INVALID:
      return NONE;
    default:
      return at + 1;
  }
}

function nameEnd(buffer: Buffer, from: number, end: number): number {
  let at = from + 1;
  while (at < end && CONTINUES_NAME[buffer[at] as number] === 1) at += 1;
  return at;
}

function isDigitAt(buffer: Buffer, at: number, end: number): boolean {
  return at < end && isDigit(buffer[at] as number);
}

function digitsEnd(buffer: Buffer, from: number, end: number): number {
  let at = from;
  while (isDigitAt(buffer, at, end)) at += 1;
  return at;
}

/** Behind digits, with a fraction or not. */
function numberEnd(buffer: Buffer, from: number, end: number): number {
  let at = digitsEnd(buffer, from, end);
  if (at < end && buffer[at] === DOT) {
    if (!isDigitAt(buffer, at + 1, end)) return NONE;
    at = digitsEnd(buffer, at + 1, end);
  }
  if (at >= end) return at;
  const next = buffer[at] as number;
  return CONTINUES_NAME[next] === 1 || next === DOT ? NONE : at;
}

function numberValue(buffer: Buffer, from: number, end: number): Uint8Array {
  const isInteger = digitsEnd(buffer, from, end) === end;
  return isInteger && end - from <= INT_DIGITS_MAX ? SHORT_INTEGER : OTHER_NUMBER;
}

/** Behind the closing quote; a doubled one is a part of the string. */
function stringEnd(buffer: Buffer, from: number, end: number): number {
  let at = from + 1;
  while (at < end) {
    if (buffer[at] !== QUOTE) at += 1;
    else if (at + 1 < end && buffer[at + 1] === QUOTE) at += 2;
    else return at + 1;
  }
  return NONE;
}

function beginsComment(buffer: Buffer, at: number, end: number, code: number): boolean {
  if (at + 1 >= end) return false;
  const next = buffer[at + 1];
  return (code === MINUS && next === MINUS) || (code === SLASH && next === STAR);
}
