/**
 * From where the clients of a tenant may come, as a list of rules in the manner of pg_hba.conf: the
 * first that matches decides.
 * Owns: the rules' shapes, as people write them and as the planes hold them.
 * Leaves: what they decide to the data plane's access/access-rules.ts.
 */
import { z } from 'zod';
import { parseCidr } from '../kernel/ip-address.ts';

/** More rules, or more names in one, are a list that belongs into a firewall. */
export const ACCESS_RULES_MAX = 100;
const NAMES_MAX = 100;

const sourceSchema = z
  .string()
  .max(64)
  .refine((text) => text === 'all' || text === 'unix' || parseCidr(text) !== undefined, {
    error: 'must be "all", "unix", an address or a block such as 10.0.0.0/8 or 2001:db8::/32',
  });
const namesSchema = z.array(z.string().min(1).max(63)).min(1).max(NAMES_MAX);
const optionalFields = {
  users: namesSchema.optional(),
  databases: namesSchema.optional(),
  /** The rule matches encrypted connections alone. */
  tls: z.literal('required').optional(),
} as const;

const accessRuleSchema = z.strictObject({
  action: z.enum(['allow', 'deny']),
  from: sourceSchema,
  ...optionalFields,
});
export type AccessRule = Readonly<z.infer<typeof accessRuleSchema>>;

export const accessRulesSchema = z.array(accessRuleSchema).max(ACCESS_RULES_MAX);

const writtenRuleSchema = z
  .strictObject({
    allow: sourceSchema.optional(),
    deny: sourceSchema.optional(),
    ...optionalFields,
  })
  .refine(({ allow, deny }) => (allow === undefined) !== (deny === undefined), {
    error: 'must have either "allow" or "deny"',
  })
  .refine(({ deny, tls }) => deny === undefined || tls === undefined, {
    error: 'must not have both "deny" and "tls": allow with tls, and others find no rule',
  });
export type WrittenAccessRule = Readonly<z.infer<typeof writtenRuleSchema>>;

export const writtenAccessRulesSchema = z
  .array(writtenRuleSchema)
  .max(ACCESS_RULES_MAX)
  .meta({
    description:
      'Rules for the addresses of clients; the first that matches decides. Without a match:' +
      ' refused when any rule allows, else let in.',
  });

export function toAccessRule({ allow, deny, ...rest }: WrittenAccessRule): AccessRule {
  return allow === undefined
    ? { action: 'deny', from: deny as string, ...rest }
    : { action: 'allow', from: allow, ...rest };
}

export function toWrittenAccessRule({ action, from, ...rest }: AccessRule): WrittenAccessRule {
  return action === 'allow' ? { allow: from, ...rest } : { deny: from, ...rest };
}
