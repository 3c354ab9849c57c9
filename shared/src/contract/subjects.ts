/**
 * Every stream, bucket and subject the planes meet on, in one place; grants for NATS users are
 * written against it.
 */
import type { ProxyId } from '../kernel/ids.ts';

export const SUBJECTS = Object.freeze({
  /** Stream of config deltas in order; proxies follow it. */
  configStream: 'DBBOUNCER_CONFIG',
  configDelta: 'dbbouncer.config.delta',
  /** Stream of full events; control planes only. */
  eventStream: 'DBBOUNCER_EVENTS',
  event: 'dbbouncer.events.stored',
  /** Bucket with the lease of the control plane that writes, and its key in there. */
  leaderBucket: 'DBBOUNCER_LEADER',
  leaseKey: 'lease',
  /** Object store of snapshots, and the name of the newest in it. */
  snapshotBucket: 'DBBOUNCER_SNAPSHOTS',
  snapshotObject: 'latest',
  /** A proxy that met a gap asks here; the answer says which position `latest` now holds. */
  snapshotRequest: 'dbbouncer.config.snapshot.request',
  /** Reports of all proxies, for a subscriber. */
  reports: 'dbbouncer.report.*',
  report: (proxy: ProxyId) => `dbbouncer.report.${proxy}`,
  /** A proxy answers here whether it could connect to a server: server-probe.ts. */
  probe: (proxy: ProxyId) => `dbbouncer.probe.${proxy}`,
  /** A proxy is asked here to cancel what one of its sessions runs: forwarded-cancel.ts. */
  cancel: (proxy: ProxyId) => `dbbouncer.cancel.${proxy}`,
  /** The same of all proxies whose short cancel keys have this number. */
  cancelNumber: (number: number) => `dbbouncer.cancel.number.${number}`,
  /** A proxy is asked here who its clients are, and to end one: client-desk.ts. */
  clients: (proxy: ProxyId) => `dbbouncer.clients.${proxy}`,
  /** What proxies need of the fleet-wide budget, for a subscriber; budget.ts. */
  budgetNeeds: 'dbbouncer.budget.needs.*',
  budgetNeedsOf: (proxy: ProxyId) => `dbbouncer.budget.needs.${proxy}`,
  /** A proxy obeys here, and looks here for what others have left behind. */
  budgetGrant: (proxy: ProxyId) => `dbbouncer.budget.grant.${proxy}`,
  budgetLook: (proxy: ProxyId) => `dbbouncer.budget.look.${proxy}`,
  /** Bucket with the members of the fleet, which outlive a term, and its key in there. */
  fleetBucket: 'DBBOUNCER_FLEET',
  fleetKey: 'members',
  /** Under which each plane receives answers: a proxy must not read those to a control plane. */
  controlPlaneInbox: '_INBOX_dbbouncer_control',
  proxyInbox: '_INBOX_dbbouncer_proxy',
});

/**
 * The log of config deltas as both planes open it: whoever comes first makes it, so both must ask
 * for the same. A proxy that needs an older delta than it holds takes a snapshot.
 */
export const CONFIG_LOG = Object.freeze({
  stream: SUBJECTS.configStream,
  subject: SUBJECTS.configDelta,
  messagesMax: 100_000,
});
