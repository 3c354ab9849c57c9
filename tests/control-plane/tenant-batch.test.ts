/**
 * POST /tenants:batch over real HTTP: all or none, one delta, and which operation failed.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { BATCH_LIMITS } from '@dbbouncer/control-plane/api/tenant-batch.ts';
import { assertProblem, tenantBody, TestControlPlane } from './harness.ts';
import type { Answer, CallOptions } from './harness.ts';
import { deltasOn } from './published.ts';
import { eventually } from '../support/eventually.ts';

let plane: TestControlPlane;
before(async () => {
  plane = await TestControlPlane.start();
});
after(() => plane[Symbol.asyncDispose]());

let count = 0;
let id = '';
beforeEach(async () => {
  id = `acme-${++count}`;
  const { status } = await plane.call('POST', '/tenants', { body: tenantBody(id) });
  assert.equal(status, 201);
});

type Operation = Readonly<Record<string, unknown>>;

function batch(operations: readonly Operation[], options: CallOptions = {}, query = '') {
  return plane.call('POST', `/tenants:batch${query}`, { body: { operations }, ...options });
}

function create(name: string, extra: Operation = {}): Operation {
  const { id: _, ...body } = tenantBody(name, extra);
  return { op: 'create', id: name, body };
}

async function position(): Promise<number> {
  return Number((await plane.call('GET', '/fleet')).json['position']);
}

async function published(): Promise<void> {
  await eventually('everything is published', async () => {
    const { json } = await plane.call('GET', '/fleet');
    return json['published_position'] === json['position'];
  });
}

function problems(answer: Answer, status: number, code: string): readonly unknown[] {
  const problem = assertProblem(answer, status, code);
  return (problem['errors'] as readonly Operation[]).map((one) => [one['path'], one['code']]);
}

describe('POST /tenants:batch', () => {
  it('does operations of every kind in order, and proxies are told in one delta', async () => {
    await published();
    const from = await position();
    const answer = await batch([
      create(`${id}-b`),
      { op: 'update', id: `${id}-b`, body: { port: 6000 }, if_match: '"1"' },
      {
        op: 'replace',
        id,
        if_match: '"1"',
        body: { ...tenantBody(id), password: 'x', port: 6000 },
      },
      { op: 'pause', id: id.toUpperCase() },
      { op: 'resume', id: `${id}-b` },
      create(`${id}-c`),
      { op: 'delete', id: `${id}-c` },
    ]);
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(answer.json, {
      position: from + 7,
      results: [
        { op: 'create', id: `${id}-b`, version: 1, changed: true },
        { op: 'update', id: `${id}-b`, version: 2, changed: true },
        { op: 'replace', id, version: 3, changed: true },
        { op: 'pause', id, version: 4, changed: true },
        { op: 'resume', id: `${id}-b`, version: 2, changed: false },
        { op: 'create', id: `${id}-c`, version: 1, changed: true },
        { op: 'delete', id: `${id}-c`, version: null, changed: true },
      ],
    });
    await published();
    const deltas = (await deltasOn(plane.bus)).filter((delta) => delta.to > from);
    assert.deepEqual(
      deltas.map((delta) => [delta.from, delta.to]),
      [[from, from + 7]],
    );
  });

  it('of the most operations is one delta too, behind changes that are not told yet', async () => {
    const before = await Promise.all(
      Array.from({ length: 150 }, () => plane.call('POST', `/tenants/${id}/reconnect`)),
    );
    assert.ok(before.every(({ status }) => status === 200));
    const names = Array.from({ length: 100 }, (_, i) => `${id}-n${i}`);
    const registered = await batch(names.map((name) => create(name)));
    assert.equal(registered.status, 200, registered.text);
    const change = (name: string, port: number) => ({
      op: 'update',
      id: name,
      body: { port, password: `p-${port}` },
      ...(port === 1 && { if_match: '"1"' }),
    });
    const operations = [1, 2].flatMap((port) => names.map((name) => change(name, port)));
    assert.equal(operations.length, BATCH_LIMITS.operationsMax);
    const flood = Array.from({ length: 150 }, () => plane.call('POST', `/tenants/${id}/reconnect`));
    const changed = await batch(operations);
    assert.equal(changed.status, 200, changed.text);
    await Promise.all(flood);
    await published();
    const to = Number(changed.json['position']);
    const deltas = await deltasOn(plane.bus);
    const around = deltas.filter((delta) => delta.from < to && delta.to > to - 400);
    assert.equal(around.length, 1, JSON.stringify(around.map((delta) => [delta.from, delta.to])));
    assert.ok((around[0]?.from ?? to) <= to - 400);
  });

  it('does nothing when an operation is refused, and names each that is by its place', async () => {
    const reached = await position();
    const answer = await batch([
      create(`${id}-b`),
      create(id),
      { op: 'update', id: 'nobody', body: {} },
      { op: 'update', id, body: { port: 1 }, if_match: '"9"' },
      { op: 'update', id, body: { min_connections: 99 } },
      { op: 'delete', id: `${id}-b` },
    ]);
    assert.deepEqual(problems(answer, 409, 'BATCH_REFUSED'), [
      ['operations[1]', 'TENANT_EXISTS'],
      ['operations[2]', 'TENANT_NOT_FOUND'],
      ['operations[3]', 'VERSION_CONFLICT'],
      ['operations[4]', 'VALIDATION_FAILED'],
    ]);
    assert.match(String(answer.json['detail']), /^4 of 6 operations cannot be done/);
    assert.equal(await position(), reached);
    assertProblem(await plane.call('GET', `/tenants/${id}-b`), 404, 'TENANT_NOT_FOUND');
  });

  it('is 400 when values are wrong, each named', async () => {
    const wrong = await batch([
      { op: 'update', id, body: { max_conections: 1 } },
      { op: 'pause', id, body: {} },
      { op: 'rename', id },
      { op: 'create', id: 'a__b', body: {} },
      { op: 'update', id, body: { port: 'x' } },
    ]);
    const problem = assertProblem(wrong, 400, 'VALIDATION_FAILED');
    const told = (problem['errors'] as readonly { path: string; message: string }[]).map(
      ({ path, message }) => `${path} ${message}`,
    );
    for (const expected of [
      /^operations\[0\]\.body\.max_conections is not a known field; did you mean "max_connections"/,
      /^operations\[1\]\.body is not a known field/,
      /^operations\[2\]\.op must be "create" or "update"/,
      /^operations\[3\]\.id must be/,
      /^operations\[3\]\.body\.host is required/,
      /^operations\[4\]\.body\.port must be a number; got "x"/,
    ]) {
      assert.ok(
        told.some((line) => expected.test(line)),
        `${expected}: ${told.join('\n')}`,
      );
    }
    const decided = await batch([
      { op: 'update', id, body: { min_connections: 99 }, if_match: '"1"' },
      { op: 'update', id, body: { id: 'other' }, if_match: '"1"' },
    ]);
    assert.deepEqual(
      problems(decided, 400, 'VALIDATION_FAILED').map((one) => (one as string[])[0]),
      ['operations[0]', 'operations[1].body.id'],
    );
  });

  it('is 400 or 413 for anything else that is no batch, never 500', async () => {
    for (const body of [
      undefined,
      '[]',
      '{',
      {},
      { operations: [] },
      { operations: {} },
      { operations: [null] },
      { operations: [7] },
      { operations: [{}] },
      { operations: [{ op: null }] },
      { operations: [{ op: 'delete', id: '' }] },
      { operations: [{ op: 'delete', id, if_match: 1 }] },
      { operations: [{ op: 'create', id: `${id}-x` }] },
      { operations: [{ op: 'delete', id }], reason: 'x'.repeat(501) },
      { operations: [{ op: 'delete', id }], other: 1 },
      { operations: Array.from({ length: 201 }, () => ({ op: 'kill', id })) },
    ]) {
      const answer = await plane.call('POST', '/tenants:batch', { body });
      assert.equal(answer.status, 400, `${JSON.stringify(body)}: ${answer.text}`);
    }
    const headers = { 'if-match': '"1"' };
    const versioned = await batch([{ op: 'kill', id }], { headers });
    assertProblem(versioned, 400, 'VALIDATION_FAILED');
    const large = await batch([{ op: 'update', id, body: { init_sql: 'x'.repeat(1_100_000) } }]);
    assertProblem(large, 413, 'BODY_TOO_LARGE');
    assertProblem(await plane.call('GET', '/tenants:batch'), 405, 'METHOD_NOT_ALLOWED');
    assert.equal((await plane.call('GET', `/tenants/${id}`)).json['version'], 1);
  });

  it('is 413 when proxies could not be told of it at once, with both numbers', async () => {
    const users = Array.from({ length: 150 }, (_, i) => ({
      name: `user-${i}`.padEnd(60, 'x'),
      server_user: 'y'.repeat(60),
      password: 'p'.repeat(64),
      server_password: 'q'.repeat(64),
    }));
    const names = Array.from({ length: 10 }, (_, i) => `${id}-u${i}`);
    for (const name of names) {
      const { status, text } = await plane.call('POST', '/tenants', {
        body: tenantBody(name, { users }),
      });
      assert.equal(status, 201, text);
    }
    const reached = await position();
    const answer = await batch(names.map((name) => ({ op: 'pause', id: name })));
    const problem = assertProblem(answer, 413, 'BATCH_TOO_LARGE');
    assert.match(String(problem['detail']), /have \d{6,} bytes together; .* told 786432 at once/);
    assert.equal(await position(), reached);
  });

  it('needs the version of what it updates, replaces or deletes, once a tenant', async () => {
    const unnamed = [
      { op: 'update', id, body: { port: 1 } },
      { op: 'replace', id, body: tenantBody(id) },
      { op: 'delete', id },
    ];
    for (const operation of unnamed) {
      const answer = await batch([{ op: 'pause', id }, operation]);
      assert.deepEqual(problems(answer, 409, 'BATCH_REFUSED'), [
        ['operations[1]', 'PRECONDITION_REQUIRED'],
      ]);
      assert.match(answer.text, /Send if_match: \\"2\\" to/);
    }
    const rehearsed = await batch(unnamed.slice(0, 2), {}, '?dry_run=true');
    assert.equal(rehearsed.text.match(/if_match_missing/g)?.length, 2, rehearsed.text);
    const forced = await batch(unnamed.slice(0, 1), {}, '?force=true');
    assert.equal(forced.status, 200, forced.text);
    const named = await batch([{ op: 'kill', id, if_match: '"2"' }, ...unnamed]);
    assert.equal(named.status, 200, named.text);
  });

  it('needs of a key what each operation alone would need', async () => {
    const body = { name: `batch ${id}`, scope: 'operator', tenants: `${id}*` };
    const made = await plane.call('POST', '/api-keys', { body });
    const key = String(made.json['key']);
    const allowed = await batch([{ op: 'pause', id }], { key });
    assert.equal(allowed.status, 200, allowed.text);
    for (const operation of [create(`${id}-b`), { op: 'delete', id }]) {
      assertProblem(await batch([operation], { key }), 403, 'SCOPE_MISSING');
    }
    const other = await batch([{ op: 'pause', id: 'other' }], { key });
    assertProblem(other, 403, 'TENANT_OUT_OF_REACH');
    const twin = { host: 'db.example.com', dbname: 'shared' };
    await plane.call('POST', '/tenants', { body: tenantBody(`hidden-${id}`, twin) });
    const seen = await batch([{ op: 'update', id, body: twin }], { key }, '?dry_run=true');
    assert.equal(seen.status, 200, seen.text);
    assert.doesNotMatch(seen.text, /hidden-/);
    const all = await batch([{ op: 'update', id, body: twin }], {}, '?dry_run=true');
    assert.match(all.text, /database_shared.*hidden-/);
  });

  it('is rehearsed, done once per key and waited for like any write', async () => {
    const operations = [create(`${id}-b`), { op: 'kill', id }];
    const rehearsed = await batch(operations, {}, '?dry_run=true');
    assert.equal(rehearsed.status, 200, rehearsed.text);
    const events = rehearsed.json['events'] as readonly { readonly type: string }[];
    assert.deepEqual(
      events.map(({ type }) => type),
      ['TenantRegistered', 'TenantClientsKilled'],
    );
    const headers = { 'idempotency-key': `batch-${id}` };
    const done = await batch(operations, { headers }, '?wait=applied&timeout=1s');
    assert.equal(done.status, 200, done.text);
    const { applied, ...rest } = done.json;
    assert.equal((applied as Operation)['position'], await position());
    const repeated = await batch(operations, { headers });
    assert.equal(repeated.headers.get('idempotency-replayed'), 'true');
    assert.deepEqual(repeated.json, rest);
    assert.equal((await plane.call('GET', `/tenants/${id}`)).json['version'], 2);
  });
});
