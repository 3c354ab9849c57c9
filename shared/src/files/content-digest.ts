/** Tells whether a file still holds what was read from it. */
import { createHash } from 'node:crypto';

export function contentDigest(text: string): string {
  return createHash('sha256').update(text).digest('base64');
}
