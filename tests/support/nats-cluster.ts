/**
 * Several nats-servers of one JetStream cluster on loopback. Clients are not told of the servers
 * they did not name, so that a relay in front of each is the only way there is.
 * Owns: the cluster's config. Leaves: each server to nats-server.ts.
 * Source: NATS documentation, "Clustering", "JetStream Clustering".
 */
import { freePort } from '@dbbouncer/cli/demo/ports.ts';
import { startNatsServer } from './nats-server.ts';
import type { NatsServer } from './nats-server.ts';

/** Running; its servers may still be looking for each other. */
export async function startNatsCluster(size: number): Promise<readonly NatsServer[]> {
  const ports = new Set<number>();
  while (ports.size < size) ports.add(await freePort('127.0.0.1'));
  const routes = [...ports].map((port) => `"nats-route://127.0.0.1:${port}"`).join(', ');
  return await Promise.all(
    [...ports].map((port, index) =>
      startNatsServer({
        config: `
server_name: n${index + 1}
cluster {
  name: dbbouncer
  listen: "127.0.0.1:${port}"
  no_advertise: true
  routes: [${routes}]
}
`,
      }),
    ),
  );
}
