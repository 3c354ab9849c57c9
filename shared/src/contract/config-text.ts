/**
 * A config as text, with each tenant in a line of its own: 100,000 of them are written and read
 * piece by piece, with rests, by who has clients to serve meanwhile. The whole is one JSON text all
 * the same, and one without line ends is read too.
 * Leaves: what is around a config in a snapshot to config-snapshot.ts.
 */
import { z } from 'zod';
import { tenantKey } from '../kernel/ids.ts';
import { BaseBuilder } from '../kernel/packed-base.ts';
import { PackedMap } from '../kernel/packed-map.ts';
import { finish } from '../kernel/steps.ts';
import type { Steps } from '../kernel/steps.ts';
import { serverConfigSchema, serverKey, SERVERS_MAX } from './database-servers.ts';
import { poolSettingsSchema } from './pool-settings.ts';
import { tenantConfigSchema } from './routing-config.ts';
import type { RoutingConfig, TenantConfig } from './routing-config.ts';

type Tenants = PackedMap<TenantConfig>;

export const configJsonSchema = z.strictObject({
  format: z.literal(1),
  epoch: z.int().min(0),
  position: z.int().min(0),
  defaults: poolSettingsSchema,
  /** Absent where none is declared. */
  servers: z
    .array(serverConfigSchema)
    .max(SERVERS_MAX)
    .superRefine((servers, context) => {
      const twice = repeated(servers.map(({ name }) => serverKey(name)));
      if (twice !== undefined) context.addIssue(isThereTwice('server', twice));
    })
    .optional(),
  tenants: z.array(tenantConfigSchema).superRefine((tenants, context) => {
    const twice = repeated(tenants.map(({ id }) => tenantKey(id)));
    if (twice !== undefined) context.addIssue(isThereTwice('tenant', twice));
  }),
});
type ConfigJson = z.infer<typeof configJsonSchema>;

/** What ends the line before the first tenant. */
const OPENING = '"tenants":[';
const TENANTS_PER_PIECE = 500;
/** Read in a millisecond or two. */
const TENANTS_PER_STEP = 100;

export function encodeConfig(config: RoutingConfig): string {
  return Array.from(configPieces(config), String).join('');
}

/** @throws ZodError or SyntaxError when the text is not a config of a known format. */
export function decodeConfig(text: string): RoutingConfig {
  return finish(configFrom(Buffer.from(text)));
}

/** The text of `encodeConfig` in pieces of some 100 kB, each good until the next is asked for. */
export function* configPieces(config: RoutingConfig): Iterable<Buffer> {
  const { epoch, position, defaults, servers, tenants } = config;
  const declared = servers.size === 0 ? {} : { servers: [...servers.values()] };
  const head = { format: 1, epoch, position, defaults, ...declared } satisfies Partial<ConfigJson>;
  yield Buffer.from(`${JSON.stringify(head).slice(0, -1)},${OPENING}`);
  let separator = '\n';
  for (const lines of tenants.pieces(TENANTS_PER_PIECE, ',\n')) {
    yield Buffer.from(separator);
    yield lines;
    separator = ',\n';
  }
  yield Buffer.from('\n]}');
}

/** What `decodeConfig` reads, with rests. @throws the same */
export function* configFrom(data: Buffer): Steps<RoutingConfig> {
  const { tenants, ...head } = configOf(configJsonSchema.parse(JSON.parse(frameOf(data))));
  return { ...head, tenants: (yield* tenantsIn(data)) ?? tenants };
}

export function configOf(json: ConfigJson): RoutingConfig {
  const { epoch, position, defaults, servers = [], tenants } = json;
  const entries = tenants.map((tenant) => [tenantKey(tenant.id), tenant] as const);
  return {
    epoch,
    position,
    defaults,
    servers: new Map(servers.map((server) => [serverKey(server.name), server] as const)),
    tenants: PackedMap.from(entries),
  };
}

/** The JSON around the tenants, with none in it; of a text without lines, the whole. */
export function frameOf(data: Buffer): string {
  const [first, last] = bounds(data);
  if (first === undefined) return data.toString('utf8');
  return data.toString('utf8', 0, first) + data.toString('utf8', last);
}

/**
 * The tenants in the lines; nothing where there are no lines.
 * @throws ZodError, SyntaxError
 */
export function* tenantsIn(data: Buffer): Steps<Tenants | undefined> {
  const [first, last] = bounds(data);
  if (first === undefined) return undefined;
  const builder = new BaseBuilder<TenantConfig>(last - first);
  let count = 0;
  for (let from = first + 1; from < last;) {
    const end = data.indexOf(LINE_END, from);
    const until = data[end - 1] === COMMA ? end - 1 : end;
    if (until > from) {
      const [key, text] = tenantIn(data.toString('utf8', from, until), count);
      if (builder.add(key, text) === 'repeated')
        throw new z.ZodError([isThereTwice('tenant', key)]);
      count += 1;
      if (count % TENANTS_PER_STEP === 0) yield;
    }
    from = end + 1;
  }
  return PackedMap.of(builder.build());
}

/** The first key that is there twice. */
function repeated(keys: Iterable<string>): string | undefined {
  const known = new Set<string>();
  for (const key of keys) {
    if (known.has(key)) return key;
    known.add(key);
  }
  return undefined;
}

function isThereTwice(what: 'tenant' | 'server', key: string) {
  const message = `${what} "${key}" is there twice`;
  return { code: 'custom' as const, path: [`${what}s`], message, input: undefined };
}

const LINE_END = 0x0a;
const COMMA = 0x2c;

/** Where the line before the first tenant ends, and the one behind the last begins. */
function bounds(data: Buffer): readonly [first: number | undefined, last: number] {
  const first = data.indexOf(LINE_END);
  const opens = first >= 0 && data.toString('latin1', 0, first).endsWith(OPENING);
  return opens ? [first, data.lastIndexOf(LINE_END) + 1] : [undefined, 0];
}

/** Its key, and its text as it is written here, whatever the order of its members was. */
function tenantIn(line: string, index: number): [string, string] {
  const { success, data: tenant, error } = tenantConfigSchema.safeParse(JSON.parse(line));
  if (success) return [tenantKey(tenant.id), JSON.stringify(tenant)];
  const issues = error.issues.map((issue) => ({
    ...issue,
    path: ['tenants', index, ...issue.path],
  }));
  throw new z.ZodError(issues);
}
