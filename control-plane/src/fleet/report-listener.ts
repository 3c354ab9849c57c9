/**
 * Hears the proxies' reports on the bus and passes the valid ones on to the fleet state.
 */
import type { Bus, Subscription } from '@dbbouncer/shared/bus/bus.ts';
import { proxyReportSchema } from '@dbbouncer/shared/contract/proxy-report.ts';
import type { ProxyReport } from '@dbbouncer/shared/contract/proxy-report.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { FleetState } from './fleet-state.ts';

export function listenForReports(bus: Bus, fleet: FleetState, log: Logger): Subscription {
  return bus.subscribe(SUBJECTS.reports, (data, subject) => {
    const report = decodeReport(data);
    // The bus grants each proxy its own subject only: a report under another's is not that proxy's.
    if (report === undefined || subject !== SUBJECTS.report(report.proxy)) {
      log.warn({ subject, bytes: data.byteLength }, 'a report that is not valid was dropped');
    } else if (fleet.receive(report) === 'fleet_full') {
      log.warn({ proxy: report.proxy }, 'a report was dropped: too many proxies are known');
    }
  });
}

function decodeReport(data: Uint8Array): ProxyReport | undefined {
  try {
    return proxyReportSchema.parse(JSON.parse(Buffer.from(data).toString('utf8')));
  } catch {
    return undefined;
  }
}
