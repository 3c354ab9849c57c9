/**
 * A proxy in a process of its own, which can be stopped and continued: for one tenant on a server
 * of the parent's, who says over IPC when it is granted one slot, for a second.
 */
import { granted, BudgetDealer } from './budget-dealer.ts';
import { TestProxy } from './test-proxy.ts';

export const LEASE_MS = 1_000;

async function main(port: number): Promise<void> {
  const pool = { poolMode: 'transaction', minConnections: 0, acquireTimeoutMs: 30_000 } as const;
  const server = { port, database: 'db', username: 'app', password: 'secret' };
  const proxy = await TestProxy.start({
    tenants: [{ id: 'acme', ...server, pool }],
    env: { DBBOUNCER_FLEET_BUDGET: 'fleet' },
  });
  const dealer = new BudgetDealer(proxy.bus, proxy.proxyId);
  process.on('message', () => void grant());
  process.once('disconnect', () => process.exit());
  process.send?.({ port: proxy.port });

  async function grant(): Promise<void> {
    await dealer.needs();
    await dealer.grant({ leaseMs: LEASE_MS, tenants: [granted('acme', 0, 1)] });
  }
}

if (process.argv[2] !== undefined) await main(Number(process.argv[2]));
