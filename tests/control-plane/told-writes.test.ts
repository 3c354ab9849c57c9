/** What the log of the control plane says of writes at level info: one line each, however much. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { tenantBody, TestControlPlane } from './harness.ts';

/** What every line of the log has. */
const OF_EACH: ReadonlySet<string> = new Set(['level', 'time', 'plane', 'msg']);

function told(plane: TestControlPlane): readonly Readonly<Record<string, unknown>>[] {
  const lines = plane.log.trimEnd().split('\n');
  return lines
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
    .filter(({ level, msg }) => level === 'info' && msg === 'write accepted')
    .map((line) => Object.entries(line).filter(([name]) => !OF_EACH.has(name)))
    .map((facts) => Object.fromEntries(facts));
}

it('tells each accepted write in one line: who, request, tenant, types, position', async () => {
  await using plane = await TestControlPlane.start();
  const ask = async (requestId: string, method: string, path: string, body?: unknown) => {
    const headers = { 'x-request-id': requestId, ...(method === 'PATCH' && { 'if-match': '*' }) };
    return (await plane.call(method, path, { headers, ...(body !== undefined && { body }) })).json;
  };
  await ask('one', 'POST', '/tenants', tenantBody('acme'));
  await ask('two', 'PATCH', '/tenants/acme', { host: 'h', password: 'another-planted' });
  await ask('nothing', 'PATCH', '/tenants/acme', { host: 'h' });
  await ask('rehearsed', 'PATCH', '/tenants/acme?dry_run=true', { host: 'i' });
  await ask('refused', 'PATCH', '/tenants/acme', { port: 0 });
  const operations = ['a', 'b', 'c'].map((id) => ({ op: 'create', id, body: tenantBody(id) }));
  await ask('batch', 'POST', '/tenants:batch', { operations });
  const defaults = await ask('defaults', 'PATCH', '/defaults?force=true', { max_queries: 9 });
  assert.equal(defaults['max_queries'], 9);
  const actor = (await plane.call('GET', '/events/1')).json['actor'];
  assert.deepEqual(told(plane), [
    { actor, requestId: 'one', tenant: 'acme', types: ['TenantRegistered'], position: 1 },
    {
      actor,
      requestId: 'two',
      tenant: 'acme',
      types: ['TenantUpdated', 'TenantCredentialsChanged'],
      position: 3,
    },
    { actor, requestId: 'batch', tenantCount: 3, types: ['TenantRegistered'], position: 6 },
    { actor, requestId: 'defaults', stream: 'defaults', types: ['DefaultsChanged'], position: 7 },
  ]);
  assert.doesNotMatch(plane.log, /planted/);
});
