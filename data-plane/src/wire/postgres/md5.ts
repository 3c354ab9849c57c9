/**
 * The md5 password method: old, weak, on both sides only by opt-in.
 * Source: PostgreSQL 18 manual, "Message Flow" (AuthenticationMD5Password).
 */
import { createHash, timingSafeEqual } from 'node:crypto';

const PREFIX = 'md5';
const VERIFIER_PATTERN = /^md5[0-9a-f]{32}$/;

/** Whether a text is what PostgreSQL takes for an md5 verifier rather than a password. */
export function isMd5Verifier(text: string): boolean {
  return VERIFIER_PATTERN.test(text);
}

/** What a server keeps of a password: pg_authid.rolpassword of the method. */
export function md5Verifier(user: string, password: string): string {
  return PREFIX + md5(password, user);
}

/** The text for PasswordMessage. @param salt the four bytes of AuthenticationMD5Password. */
export function md5Answer(verifier: string, salt: Buffer): string {
  return PREFIX + md5(verifier.slice(PREFIX.length), salt);
}

/** Whether a client's PasswordMessage fits; takes the same time whatever differs. */
export function md5AnswerFits(answer: string, verifier: string, salt: Buffer): boolean {
  // Hashed once more, so that the two are of one length.
  const hash = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(answer), hash(md5Answer(verifier, salt)));
}

function md5(first: string, second: string | Buffer): string {
  return createHash('md5').update(first).update(second).digest('hex');
}
