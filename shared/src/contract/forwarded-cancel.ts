/**
 * A cancel request on its way from the proxy it has reached to the proxy of its session, and what
 * became of it there. The key is what the client has sent: whoever gets it finds out whether it is
 * right.
 */
import { z } from 'zod';
import { isProxyId } from '../kernel/ids.ts';
import type { ProxyId } from '../kernel/ids.ts';

/** Of a key; base64 of the longest that protocols allow. */
const SECRET_CHARS_MAX = 344;

const forwardedCancelSchema = z.object({
  /** Where the client has asked. */
  from: z.custom<ProxyId>((value) => typeof value === 'string' && isProxyId(value)),
  processId: z.int(),
  secretKey: z.base64().max(SECRET_CHARS_MAX),
});

export interface ForwardedCancel {
  readonly from: ProxyId;
  readonly processId: number;
  readonly secretKey: Buffer;
}

/** Whose a key is by what is written in it: one proxy's, or one's of those with a number. */
export type KeyOwner =
  | { readonly kind: 'proxy'; readonly proxy: ProxyId }
  | { readonly kind: 'number'; readonly number: number };

export type CancelAnswer = 'found' | 'unknown_key';

export function encodeForwardedCancel({ from, processId, secretKey }: ForwardedCancel): Uint8Array {
  const message = { from, processId, secretKey: secretKey.toString('base64') };
  return new TextEncoder().encode(JSON.stringify(message));
}

/** Nothing when it is no such message. */
export function decodeForwardedCancel(data: Uint8Array): ForwardedCancel | undefined {
  try {
    const message = forwardedCancelSchema.parse(JSON.parse(new TextDecoder().decode(data)));
    return { ...message, secretKey: Buffer.from(message.secretKey, 'base64') };
  } catch {
    return undefined;
  }
}

export function encodeCancelAnswer(answer: CancelAnswer): Uint8Array {
  return new TextEncoder().encode(answer);
}

export function decodeCancelAnswer(data: Uint8Array): CancelAnswer {
  return new TextDecoder().decode(data) === 'found' ? 'found' : 'unknown_key';
}
