/** A proxy as the control plane sees it: what it reports, and what it answers to probes. */
import type { Bus, Subscription } from '@dbbouncer/shared/bus/bus.ts';
import type { PoolReport, ProxyReport } from '@dbbouncer/shared/contract/proxy-report.ts';
import { decodeProbeRequest, encodeProbe } from '@dbbouncer/shared/contract/server-probe.ts';
import type { ProbeAnswer, ProbeRequest } from '@dbbouncer/shared/contract/server-probe.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';

export function sendReport(bus: Bus, proxy: string, fields: Partial<ProxyReport>): void {
  const at = new Date().toISOString();
  const whole: ProxyReport = {
    proxy: proxy as ProxyId,
    version: 'test',
    startedAt: at,
    sentAt: at,
    epoch: 1,
    appliedPosition: 0,
    clients: 0,
    pools: [],
    ...fields,
  };
  bus.publish(SUBJECTS.report(whole.proxy), Buffer.from(JSON.stringify(whole)));
}

export function poolReport(tenant: string, fields: Partial<PoolReport> = {}): PoolReport {
  return {
    tenant,
    protocol: 'postgres',
    database: 'd',
    user: 'app',
    active: 1,
    idle: 2,
    total: 3,
    waiting: 0,
    longestWaitMs: 0,
    ...fields,
  };
}

/** Answers probes as `proxy` with what `answer` says. */
export function answerProbes(
  bus: Bus,
  proxy: string,
  answer: (request: ProbeRequest) => ProbeAnswer,
): Subscription {
  return bus.respond(SUBJECTS.probe(proxy as ProxyId), async (data) =>
    encodeProbe(answer(decodeProbeRequest(data))),
  );
}
