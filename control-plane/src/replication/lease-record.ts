/**
 * What the control plane that leads writes under its key on the bus, again and again, so that the
 * others know of it. Nothing in it is secret.
 *
 * Others pass writes on to the address in it, API keys included: so it bears a mark that needs the
 * master key, and whoever can write to the bus cannot have keys sent to him.
 * Source: RFC 2104 (HMAC).
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';

const leaseSchema = z.object({
  /** `released`: given back on purpose; the next may take over at once. */
  state: z.enum(['held', 'released']),
  /** Of the control plane: kept in its data folder. */
  holder: z.string(),
  /** Of its process. */
  process: z.string(),
  /** Where its API answers for the others. */
  apiUrl: z.string(),
  term: z.int().min(1),
  /** How long it counts after it was written. */
  leaseMs: z.int().min(1),
  /** Of who leads and where, by the master key; no key can be told from it. */
  mark: z.string(),
});
export type Lease = Readonly<z.infer<typeof leaseSchema>>;

type Marked = Pick<Lease, 'holder' | 'process' | 'apiUrl'>;

/** Marks leases, and knows those that were marked with the same master key. */
export interface LeaseMarks {
  of(lease: Marked): string;
  fits(lease: Lease): boolean;
}

/** @param secrets derived from each master key there is, the primary one first */
export function leaseMarks(secrets: readonly [Buffer, ...Buffer[]]): LeaseMarks {
  const marked = (secret: Buffer, { holder, process, apiUrl }: Marked) =>
    createHmac('sha256', secret)
      .update(JSON.stringify([holder, process, apiUrl]))
      .digest();
  return Object.freeze({
    of: (lease: Marked) => marked(secrets[0], lease).toString('hex'),
    fits: (lease: Lease) => {
      const mark = Buffer.from(lease.mark, 'hex');
      return secrets.some((secret) => {
        const own = marked(secret, lease);
        return own.length === mark.length && timingSafeEqual(own, mark);
      });
    },
  });
}

export function encodeLease(lease: Lease): Uint8Array {
  return Buffer.from(JSON.stringify(lease));
}

/** Nothing when it is no lease of this version. */
export function decodeLease(data: Uint8Array): Lease | undefined {
  try {
    return leaseSchema.parse(JSON.parse(Buffer.from(data).toString('utf8')));
  } catch {
    return undefined;
  }
}
