/**
 * What a proxy says about itself every second. Counters are since its start; times are
 * milliseconds.
 */
import { z } from 'zod';
import { isProxyId } from '../kernel/ids.ts';
import type { ProxyId } from '../kernel/ids.ts';
import { serverLimitsSchema } from './server-probe.ts';

export const poolReportSchema = z.strictObject({
  tenant: z.string(),
  protocol: z.enum(['postgres', 'mysql']),
  database: z.string(),
  /** On the server. */
  user: z.string(),
  /** Absent: open. `waiting_for_login`: nobody has logged in with the password of its verifier. */
  state: z.enum(['waiting_for_login', 'draining']).optional(),
  /** Server connections by state; together they occupy the tenant's budget. */
  active: z.int().min(0),
  idle: z.int().min(0),
  total: z.int().min(0),
  /** Clients in line for a server connection, and how long the first of them has waited. */
  waiting: z.int().min(0),
  longestWaitMs: z.number().min(0),
  /** The last dial error, as the database worded it, while dials fail. */
  failing: z.string().optional(),
});
export type PoolReport = Readonly<z.infer<typeof poolReportSchema>>;

/**
 * A tenant whose config says `paused` or `draining`, and how far that has come on this proxy:
 * `paused` when no server connection is left, `drained` when no client is left either.
 */
export const haltedTenantSchema = z.strictObject({
  tenant: z.string(),
  state: z.enum(['pausing', 'paused', 'draining', 'drained']),
  clients: z.int().min(0),
  /** Server connections in any state. */
  connections: z.int().min(0),
});
export type HaltedTenant = Readonly<z.infer<typeof haltedTenantSchema>>;

/** A server by the host that tenants name, and what it has said last. */
const reportedServerSchema = z.strictObject({
  host: z.string(),
  port: z.int(),
  limits: serverLimitsSchema,
});
export type ReportedServer = Readonly<z.infer<typeof reportedServerSchema>>;

export const proxyReportSchema = z.strictObject({
  proxy: z.custom<ProxyId>((value) => typeof value === 'string' && isProxyId(value)),
  version: z.string(),
  startedAt: z.iso.datetime(),
  sentAt: z.iso.datetime(),
  epoch: z.int().min(0),
  appliedPosition: z.int().min(0),
  /** The last delta or snapshot it would not apply, and why (ACK/NACK). */
  rejected: z.strictObject({ position: z.int().min(0), reason: z.string() }).optional(),
  clients: z.int().min(0),
  pools: z.array(poolReportSchema),
  /** How many pools more there are than fit a message; those in trouble are left out last. */
  poolsOmitted: z.int().min(1).optional(),
  /** Absent: none. Database servers that have told of their limits; at most SERVERS_MAX. */
  servers: z.array(reportedServerSchema).optional(),
  /** Absent: none. At most HALTED_MAX; those still on their way come first. */
  halted: z.array(haltedTenantSchema).optional(),
});
export type ProxyReport = Readonly<z.infer<typeof proxyReportSchema>>;

/** Halted tenants of one report. */
export const HALTED_MAX = 1_000;
/** Servers of one report. */
export const SERVERS_MAX = 500;

export const REPORT_INTERVAL_MS = 1_000;
