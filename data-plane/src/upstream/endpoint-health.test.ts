/** What dials say of a server: what counts against it, since when, and what does not. */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { ENDPOINTS_MAX } from '@dbbouncer/shared/contract/proxy-report.ts';
import { ManualClock } from '../../../tests/support/manual-clock.ts';
import { proxyErrors } from '../errors.ts';
import { EndpointsHealth } from './endpoint-health.ts';

let clock: ManualClock;
let health: EndpointsHealth;
const endpoint = { host: 'db', port: 5432 };
const never = new AbortController().signal;

beforeEach(() => {
  clock = new ManualClock();
  health = new EndpointsHealth(clock);
});

const unreachable = () => proxyErrors.fail('UPSTREAM_UNREACHABLE', 'cannot be used: refused');
const refusing = (sqlState: string) =>
  proxyErrors.fail('UPSTREAM_REFUSED', 'no', { context: { sqlState } });

async function dial(
  error?: Error,
  { host = 'db', signal = never }: { readonly host?: string; readonly signal?: AbortSignal } = {},
): Promise<void> {
  const dialed = health.watch({ host, port: 5432 }, signal, async () => {
    await clock.pass(12);
    if (error !== undefined) throw error;
  });
  if (error === undefined) await dialed;
  else await assert.rejects(dialed, error);
}

describe('EndpointsHealth', () => {
  it('tells how long the last dial took, and the last round trip', async () => {
    health.answered(endpoint, 1);
    await dial();
    health.answered({ ...endpoint, host: 'DB' }, 0.5);
    assert.deepEqual(health.read(), [
      {
        ...endpoint,
        outcome: 'connected',
        dialedAt: '2026-01-01T00:00:00.012Z',
        dialMs: 12,
        roundTripMs: 0.5,
        consecutiveFailures: 0,
      },
    ]);
  });

  it('counts failures from the first one on, until a dial connects', async () => {
    await dial();
    for (let n = 0; n < 3; n++) await dial(unreachable());
    await dial(refusing('57P03'));
    const [failing] = health.read();
    assert.deepEqual(
      [failing?.outcome, failing?.consecutiveFailures, failing?.failingSince, failing?.dialMs],
      ['failed', 4, '2026-01-01T00:00:00.024Z', 12],
    );
    assert.equal(failing?.error, 'no');
    await dial();
    const [recovered] = health.read();
    assert.deepEqual([recovered?.consecutiveFailures, recovered?.failingSince], [0, undefined]);
  });

  it('takes a refused login for an answer, and what the proxy gave up for nothing', async () => {
    await dial(unreachable());
    await dial(refusing('28P01'));
    const [refused] = health.read();
    assert.deepEqual([refused?.outcome, refused?.consecutiveFailures], ['refused', 0]);
    await dial(proxyErrors.fail('SECRET_UNAVAILABLE', 'no such variable'));
    await dial(unreachable(), { signal: AbortSignal.abort() });
    assert.deepEqual(health.read(), [refused]);
  });

  it(`remembers ${ENDPOINTS_MAX} servers, those that fail first`, async () => {
    for (let n = 0; n <= ENDPOINTS_MAX; n++) await dial(undefined, { host: `h${n}` });
    await dial(unreachable(), { host: 'h9' });
    const all = health.read();
    assert.deepEqual([all.length, all[0]?.host], [ENDPOINTS_MAX, 'h9']);
    assert.ok(all.every(({ host }) => host !== 'h0'));
  });
});
