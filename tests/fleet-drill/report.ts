/** What a fleet drill has found, as a table. */
import type { FleetDrillReport, Outcome } from './fleet-drill.ts';
import { capOf, FLEET_BUDGET, PROXIES, roleOf, TENANTS, WORKERS } from './tenants.ts';

const HEAD = [
  'Accident',
  'Requests that failed',
  'Failing for',
  'Slowest answer',
  `Most server connections (${TENANTS.map(({ id }) => id).join(', ')})`,
  'All served after',
  'Changes everywhere after',
];

/** A row of the table. */
export function lineOf(outcome: Outcome): string {
  const { accident, requests, failures, failingMs, slowestMs, most } = outcome;
  const failed = [...failures.values()].reduce((sum, count) => sum + count, 0);
  const kinds = Array.from(failures, ([kind, count]) => `${count} ${kind}`).join(', ');
  const connections = TENANTS.map((tenant) => {
    return `${most.get(roleOf(tenant.id)) ?? 0}/${capOf(tenant)}`;
  });
  return row([
    accident.title,
    failed === 0 ? `none of ${requests}` : `${failed} of ${requests}: ${kinds}`,
    failed === 0 ? '–' : seconds(failingMs),
    seconds(slowestMs),
    connections.join(', '),
    seconds(outcome.servedMs),
    seconds(outcome.changesMs),
  ]);
}

export function documentOf(report: FleetDrillReport): string {
  const { clients, samples, committed, outcomes } = report;
  return `# Drills

What becomes of a fleet, and of those who use it, when something breaks. \`npm run drill:fleet\`
writes this page, with real processes on one machine: ${PROXIES} proxies with a data folder each,
the last with ${WORKERS} workers; two control planes with \`durability: replicated\`; a NATS
cluster of three servers; one PostgreSQL 18. \`fleet_budget\` is \`${FLEET_BUDGET}\`.

- ${clients} clients work all the time; every fifth thing that they ask is a transaction that
  writes. Whoever loses its connection comes again, at the next proxy where its own does not let it
  in. After 5 s without an answer it gives up its connection, which is called \`silence\`.
- *Requests that failed* are counted from the beginning of the accident until all is well, by what
  was asked (\`login\`, \`read\`, \`write\`) and what the client read, an SQLSTATE or an error of
  the network.
- *Most server connections* are as the database itself has counted them, every 100 ms in
  \`pg_stat_activity\`, beside what the tenant may have over all proxies.
- *All served after*: from the beginning of the accident until every client had its answers again.
  *Changes everywhere after*: from its end until a change was taken and every proxy had applied it.

${row(HEAD)}
${row(HEAD.map(() => '---'))}
${outcomes.map(lineOf).join('\n')}

Not in the table, since a person has to mend it: when the stream of events is purged by hand, no
control plane with \`durability: replicated\` writes any more (\`EVENT_STREAM_UNUSABLE\`). Proxies
go on with the config and the server connections that they have.

The connections were counted ${samples} times. Of ${committed} transactions whose COMMIT was
acknowledged, every one was there at the end, once.
`;
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

function seconds(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}
