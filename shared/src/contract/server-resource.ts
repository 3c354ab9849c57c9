/**
 * A declared database server as people write and read it, in REST and YAML alike.
 * Leaves: which servers may be there together to the control plane's decider.
 */
import { z } from 'zod';
import { isTenantId, TENANT_ID_RULE } from '../kernel/ids.ts';
import { SERVER_CONNECTIONS_MAX } from './database-servers.ts';
import type { ServerConfig } from './database-servers.ts';
import { hostSchema, ignored, portSchema } from './field-schemas.ts';

export const SERVER_NAME_RULE = TENANT_ID_RULE;

export function isServerName(text: string): boolean {
  return isTenantId(text);
}

const PORT_DEFAULT = 5432;

const required = {
  host: hostSchema,
  max_connections: z
    .int()
    .min(1)
    .max(SERVER_CONNECTIONS_MAX)
    .meta({
      description:
        'Server connections that all tenants with this host and port may have together, over all' +
        ' proxies.',
    }),
} as const;
const port = portSchema.nullish().meta({ description: `Default: ${PORT_DEFAULT}.` });

/** So that an answer can be edited and sent back whole. */
const readOnlyFields = {
  name: z.string().optional().meta({ description: 'As in the path, if it is given.' }),
  origin: ignored,
  version: ignored,
  created_at: ignored,
  updated_at: ignored,
  tenants: ignored,
  budget: ignored,
  server_max_connections: ignored,
  reserved_connections: ignored,
} as const;

/** In the config file: its name is the key it stands under. */
export const serverInFileSchema = z.strictObject({ ...required, port });
export const serverReplaceSchema = z.strictObject({ ...required, port, ...readOnlyFields });
/** What is not given stays; a port of null goes back to its default. */
export const serverPatchSchema = z.strictObject({
  ...z.strictObject(required).partial().shape,
  port,
  ...readOnlyFields,
});

export type ServerInFile = Readonly<z.infer<typeof serverInFileSchema>>;
export type ServerPatch = Readonly<z.infer<typeof serverPatchSchema>>;

/** A server's settings as an answer gives them. */
export const serverFieldsSchema = z.strictObject({
  name: z.string(),
  host: z.string(),
  port: z.int(),
  max_connections: z.int(),
});
export type ServerFields = Readonly<z.infer<typeof serverFieldsSchema>>;

export function newServerConfig(name: string, input: ServerInFile): ServerConfig {
  const { host, port: written, max_connections: maxConnections } = input;
  return Object.freeze({ name, host, port: written ?? PORT_DEFAULT, maxConnections });
}

export function patchedServerConfig(current: ServerConfig, patch: ServerPatch): ServerConfig {
  const { host, port: written, max_connections: maxConnections } = patch;
  return Object.freeze({
    name: current.name,
    host: host ?? current.host,
    port: written === undefined ? current.port : (written ?? PORT_DEFAULT),
    maxConnections: maxConnections ?? current.maxConnections,
  });
}

export function toServerFields({ name, host, port, maxConnections }: ServerConfig): ServerFields {
  return { name, host, port, max_connections: maxConnections };
}

/** As an entry of the config file; nothing is said of what has its default. */
export function toWrittenServer({ host, port, max_connections }: ServerFields) {
  return { host, ...(port !== PORT_DEFAULT && { port }), max_connections };
}
