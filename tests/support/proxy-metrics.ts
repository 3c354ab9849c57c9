/**
 * A proxy's metrics as numbers, read from the page that Prometheus reads: fresher than its reports,
 * which come once a second.
 */
import { eventually } from './eventually.ts';

interface Measured {
  readonly metricsUrl: string;
}

/** The sum of a metric over its series that have these labels; 0 when there is none. */
export async function metric(
  { metricsUrl }: Measured,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<number> {
  const page = await (await fetch(metricsUrl)).text();
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  return page
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => wanted.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

/** Resolves when `count` clients of all tenants are in line. */
export async function untilWaiting(proxy: Measured, count: number): Promise<void> {
  await eventually(
    `${count} clients wait`,
    async () => (await metric(proxy, 'dbbouncer_connections_waiting')) === count,
  );
}

/** Resolves when no client is connected, no lease is held and nobody is in line. */
export async function untilAtRest(proxy: Measured): Promise<void> {
  await eventually('nothing is held', async () => {
    const held = await Promise.all(
      ['dbbouncer_clients', 'dbbouncer_connections_active', 'dbbouncer_connections_waiting'].map(
        (name) => metric(proxy, name),
      ),
    );
    return held.every((count) => count === 0);
  });
}
