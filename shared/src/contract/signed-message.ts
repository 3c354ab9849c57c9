/**
 * How a delta or a snapshot says who wrote it: one line of text in front of its bytes, with the key
 * and the signature. What is signed names the kind, the place on the bus and a digest of all that
 * follows, epoch and positions included: a message is good for nothing but what it was written for.
 * Owns: the line and the statement. Leaves: keys and signatures to secrets/config-signature.ts.
 */
import { SUBJECTS } from './subjects.ts';

export type SignedKind = 'delta' | 'snapshot';

export interface MessageSignature {
  /** Of the public key that it is checked with. */
  readonly keyId: string;
  readonly bytes: Uint8Array;
}

/** Whoever writes the config, as publishers see it. */
export interface ConfigSigner {
  /** The message that goes to the bus. */
  sign(kind: SignedKind, payload: Uint8Array): Promise<Uint8Array>;
  /** What is inside of a message that came from the bus. */
  open(kind: SignedKind, message: Uint8Array): Promise<OpenedMessage>;
}

/** Whoever serves the config, as its feed sees it. */
export type ConfigVerifier = Pick<ConfigSigner, 'open'>;

export type OpenedMessage =
  | { readonly outcome: 'genuine'; readonly payload: Uint8Array }
  | {
      readonly outcome: 'refused';
      readonly reason: string;
      /** Not to be believed; for the record. */
      readonly payload: Uint8Array;
    };

/** For a bus on which nobody else can write: nothing is signed. */
export const UNSIGNED: ConfigSigner = Object.freeze({
  sign: async (_kind: SignedKind, payload: Uint8Array) => payload,
  open: async (_kind: SignedKind, payload: Uint8Array) => ({
    outcome: 'genuine' as const,
    payload,
  }),
});

const PLACES: Readonly<Record<SignedKind, string>> = Object.freeze({
  delta: SUBJECTS.configStream,
  snapshot: `${SUBJECTS.snapshotBucket}/${SUBJECTS.snapshotObject}`,
});

/** What is signed; `digest` is the SHA-256 of the payload. */
export function statementOf(kind: SignedKind, digest: Uint8Array): Buffer {
  const hex = Buffer.from(digest).toString('hex');
  return Buffer.from(`dbbouncer config 1\n${kind} ${PLACES[kind]}\nsha256 ${hex}\n`);
}

/** No JSON and no gzip begins so. */
const OPENING = 'DBBOUNCER-SIGNED ed25519 ';
const LINE = /^DBBOUNCER-SIGNED ed25519 ([0-9a-f]{16}) ([A-Za-z0-9+/]{86}==)$/;
/** The line has one length only: 25 + 16 + 1 + 88 characters and its end. */
const LINE_BYTES = 131;

export function withSignature(payload: Uint8Array, { keyId, bytes }: MessageSignature): Uint8Array {
  const signature = Buffer.from(bytes).toString('base64');
  return Buffer.concat([Buffer.from(`${OPENING}${keyId} ${signature}\n`), payload]);
}

export interface ParsedMessage {
  readonly signature: MessageSignature | undefined;
  readonly payload: Uint8Array;
}

/** A line that is not whole counts as part of an unsigned payload. */
export function splitSignature(message: Uint8Array): ParsedMessage {
  const head = Buffer.from(message.buffer, message.byteOffset, message.byteLength)
    .subarray(0, LINE_BYTES)
    .toString('latin1');
  const [, keyId, signature] = head.endsWith('\n') ? (LINE.exec(head.slice(0, -1)) ?? []) : [];
  const bytes = Buffer.from(signature ?? '', 'base64');
  // The last digit has bits to spare: only one of its spellings is ours.
  const isWhole = keyId !== undefined && bytes.toString('base64') === signature;
  return isWhole
    ? { signature: { keyId, bytes }, payload: message.subarray(LINE_BYTES) }
    : { signature: undefined, payload: message };
}
