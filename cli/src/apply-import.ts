/**
 * Registers what was imported through the REST API, in batches of which each is done whole or not
 * at all: all are rehearsed before the first is done. The events tell where they come from by their
 * reason and request id.
 */
import { randomUUID } from 'node:crypto';
import { basename } from 'node:path';
import type { WrittenTenant } from '@dbbouncer/shared/contract/written-tenant.ts';
import type { Imported } from './import/imported.ts';
import type { RestClient } from './rest-client.ts';

/** Of POST /tenants:batch; in bytes, with room for the delta that proxies are told. */
const BATCH_TENANTS_MAX = 200;
const BATCH_BYTES_MAX = 384 * 1024;

interface Creation {
  readonly op: 'create';
  readonly id: string;
  readonly body: WrittenTenant;
}

/** @returns what was done, in words. @throws Error that names what the API refuses, and why */
export async function applyImport(
  imported: Imported,
  client: RestClient,
  mode: 'dry_run' | 'commit',
): Promise<string> {
  const creations = Array.from(imported.tenants, ([id, { tenant }]): Creation => {
    return { op: 'create', id, body: withDefaults(tenant, imported.defaults) };
  });
  const batches = batchesOf(creations);
  const run = `import-${randomUUID()}`;
  const reason = `imported from ${basename(imported.source)}`;
  const send = async (operations: readonly Creation[], query: string, index: number) =>
    await client.post(
      `/tenants:batch${query}`,
      { operations, reason },
      {
        'x-request-id': run,
        'idempotency-key': `${run}-${index}${query}`,
      },
    );
  for (const [index, batch] of batches.entries()) await send(batch, '?dry_run=true', index);
  const count = `${creations.length} ${creations.length === 1 ? 'tenant' : 'tenants'}`;
  if (mode === 'dry_run') return `${count} can be registered at ${client.url}.`;
  let done = 0;
  for (const [index, batch] of batches.entries()) {
    try {
      await send(batch, '', index);
    } catch (error) {
      throw new Error(`${done} of ${count} are registered: ${(error as Error).message}`, {
        cause: error,
      });
    }
    done += batch.length;
  }
  return `${count} registered at ${client.url}, as request ${run}.`;
}

function batchesOf(creations: readonly Creation[]): readonly (readonly Creation[])[] {
  const batches: Creation[][] = [];
  let bytes = Infinity;
  for (const creation of creations) {
    const own = Buffer.byteLength(JSON.stringify(creation));
    const batch = batches.at(-1);
    if (batch === undefined || batch.length >= BATCH_TENANTS_MAX || bytes + own > BATCH_BYTES_MAX) {
      batches.push([creation]);
      bytes = own;
    } else {
      batch.push(creation);
      bytes += own;
    }
  }
  return batches;
}

/** The fleet's defaults are not touched: each tenant gets what its file had as a default. */
function withDefaults(tenant: WrittenTenant, defaults: WrittenTenant): WrittenTenant {
  const merged: Record<string, unknown> = { ...defaults, ...tenant };
  const number = (name: string) => Number(merged[name] ?? 0);
  if ('max_connections' in merged && !('min_connections' in tenant)) {
    const most = number('max_connections') - number('reserve_connections');
    merged['min_connections'] = Math.max(0, Math.min(number('min_connections'), most));
  }
  return merged;
}
