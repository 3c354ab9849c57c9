/**
 * What the control plane that leads writes under its key on the bus, again and again, so that the
 * others know of it. Nothing in it is secret.
 */
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
  /** Equal for equal master keys; no key can be told from it. */
  masterKeyMark: z.string(),
});
export type Lease = Readonly<z.infer<typeof leaseSchema>>;

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
