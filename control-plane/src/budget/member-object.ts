/** The text of the object that holds the members of the fleet over terms. */
import { isProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import { z } from 'zod';
import type { Member } from './members.ts';

const membersSchema = z.object({
  members: z.array(
    z.object({
      proxy: z.custom<ProxyId>((value) => typeof value === 'string' && isProxyId(value)),
      life: z.int().min(1),
      divisor: z.int().min(1).nullable(),
      appliedPosition: z.int().min(0),
    }),
  ),
});

export function encodeMembers(members: readonly Member[]): Uint8Array {
  return Buffer.from(JSON.stringify({ members }));
}

/** @throws ZodError, SyntaxError */
export function decodeMembers(data: Uint8Array): readonly Member[] {
  return membersSchema.parse(JSON.parse(Buffer.from(data).toString('utf8'))).members;
}
