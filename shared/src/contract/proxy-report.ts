/**
 * What a proxy says about itself every second. Counters are since its start; times are
 * milliseconds.
 *
 * The two sides need not be of one version. Fields that a reader does not know are dropped, and
 * every field that came after the first version is optional: a report of an older proxy is read
 * with what it has, one of a newer proxy with what this version knows of it. So a field, once
 * there, never changes its meaning, and a closed list of words never gets another word: that takes
 * a field of its own.
 */
import { z } from 'zod';
import { isProxyId } from '../kernel/ids.ts';
import type { ProxyId } from '../kernel/ids.ts';
import { latencyCountsSchema } from './latency-histogram.ts';
import { serverLimitsSchema } from './server-probe.ts';

const count = z.int().min(0);

export const poolReportSchema = z.object({
  tenant: z.string(),
  protocol: z.enum(['postgres', 'mysql']),
  database: z.string(),
  /** On the server. */
  user: z.string(),
  /** Absent: open. `waiting_for_login`: nobody has logged in with the password of its verifier. */
  state: z.enum(['waiting_for_login', 'draining']).optional(),
  /** Server connections by state; together they occupy the tenant's budget. */
  active: count,
  idle: count,
  total: count,
  /** Clients in line for a server connection, and how long the first of them has waited. */
  waiting: count,
  longestWaitMs: z.number().min(0),
  /** The last dial error, as the database worded it, while dials fail. */
  failing: z.string().optional(),
});
export type PoolReport = Readonly<z.infer<typeof poolReportSchema>>;

/**
 * A tenant whose config says `paused` or `draining`, and how far that has come on this proxy:
 * `paused` when no server connection is left, `drained` when no client is left either.
 */
export const haltedTenantSchema = z.object({
  tenant: z.string(),
  state: z.enum(['pausing', 'paused', 'draining', 'drained']),
  clients: count,
  /** Server connections in any state. */
  connections: count,
  /** Since when the proxy has been told to. */
  since: z.iso.datetime().optional(),
});
export type HaltedTenant = Readonly<z.infer<typeof haltedTenantSchema>>;

/** A server by the host that tenants name, and what it has said last. */
const reportedServerSchema = z.object({
  host: z.string(),
  port: z.int(),
  limits: z.object(serverLimitsSchema.shape),
});
export type ReportedServer = Readonly<z.infer<typeof reportedServerSchema>>;

/** How it has gone lately to connect to a database server, whatever tenant it was for. */
const endpointHealthSchema = z.object({
  host: z.string(),
  port: z.int(),
  /**
   * Of the last dial. `refused`: the server has answered, and would not have this login; that says
   * nothing of others. `failed`: it could not be reached, did not answer, or takes nobody.
   */
  outcome: z.enum(['connected', 'refused', 'failed']),
  dialedAt: z.iso.datetime(),
  /** From the first packet to a usable connection, of the last dial that got that far. */
  dialMs: z.number().min(0).optional(),
  /** Of the last question whether an idle connection is still there. */
  roundTripMs: z.number().min(0).optional(),
  /** Of the last dial, unless it connected. */
  error: z.string().optional(),
  /** The first of the dials that have failed one after the other, and how many those are. */
  failingSince: z.iso.datetime().optional(),
  consecutiveFailures: count,
});
export type EndpointHealth = Readonly<z.infer<typeof endpointHealthSchema>>;

/** How busy the process is. */
const vitalsSchema = z.object({
  /** Processor time since the last report, of one core; all threads of the process. */
  cpuShare: z.number().min(0),
  rssBytes: count,
  heapUsedBytes: count,
  /** By how much the event loop was late, in the last 10 seconds at most. */
  loopDelayP50Ms: z.number().min(0),
  loopDelayP99Ms: z.number().min(0),
  loopDelayMaxMs: z.number().min(0),
});
export type Vitals = Readonly<z.infer<typeof vitalsSchema>>;

const countsShape = {
  /** Batches of clients that have ended. */
  queries: count,
  /** Leases of a server connection, and reads that shared one. */
  transactions: count,
  /** What clients have read as an error: of the server, of the proxy itself. */
  serverErrors: count,
  proxyErrors: count,
  /** Sessions that were bound to their server connection. */
  pins: count,
};
const countsSchema = z.object(countsShape);
export type ActivityCounts = Readonly<z.infer<typeof countsSchema>>;

/** What the clients of a tenant did, since the start; how long it took, of the last minute. */
const tenantActivitySchema = z.object({
  tenant: z.string(),
  ...countsShape,
  /** Of the last 30 to 60 seconds: queries, and waits for a server connection. */
  queryTimes: latencyCountsSchema.optional(),
  acquireTimes: latencyCountsSchema.optional(),
});
export type TenantActivity = Readonly<z.infer<typeof tenantActivitySchema>>;

const rejectionSchema = z.object({ position: count, reason: z.string() });

export const proxyReportSchema = z.object({
  proxy: z.custom<ProxyId>((value) => typeof value === 'string' && isProxyId(value)),
  version: z.string(),
  startedAt: z.iso.datetime(),
  sentAt: z.iso.datetime(),
  /** Absent: it serves. `stopped` is the last that is heard of a proxy that ends in order. */
  phase: z.enum(['draining', 'stopped']).optional(),
  epoch: count,
  appliedPosition: count,
  /** Absent: max_connections of each tenant is its own alone, as with older versions. */
  budget: z.literal('of_fleet').optional(),
  /** The last delta or snapshot it would not apply, and why, as long as it matters (ACK/NACK). */
  rejected: rejectionSchema.optional(),
  /** Absent: none. The last ones, the newest first, also those that are history. */
  rejections: z.array(rejectionSchema.extend({ at: z.iso.datetime() })).optional(),
  clients: count,
  vitals: vitalsSchema.optional(),
  /** Over all tenants. */
  activity: countsSchema.optional(),
  pools: z.array(poolReportSchema),
  /** How many pools more there are than fit a message; those in trouble are left out last. */
  poolsOmitted: z.int().min(1).optional(),
  /** Absent: none. Those with traffic lately come first. */
  tenants: z.array(tenantActivitySchema).optional(),
  tenantsOmitted: z.int().min(1).optional(),
  /** Absent: none. Database servers that have told of their limits; at most SERVERS_MAX. */
  servers: z.array(reportedServerSchema).optional(),
  /** Absent: none. At most ENDPOINTS_MAX; those that fail come first. */
  endpoints: z.array(endpointHealthSchema).optional(),
  /** Absent: none. At most HALTED_MAX; those still on their way come first. */
  halted: z.array(haltedTenantSchema).optional(),
});
export type ProxyReport = Readonly<z.infer<typeof proxyReportSchema>>;

/** Halted tenants of one report. */
export const HALTED_MAX = 1_000;
/** Servers of one report. */
export const SERVERS_MAX = 500;
/** Endpoints of one report. */
export const ENDPOINTS_MAX = 500;
/** Rejections of one report. */
export const REJECTIONS_MAX = 5;
export const REPORT_INTERVAL_MS = 1_000;
