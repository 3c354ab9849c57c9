/** When the event log counts as read-only, and when no longer. */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { ManualClock } from '../../../tests/support/manual-clock.ts';
import { controlErrors } from '../errors.ts';
import { GATE_TIMES, WriteGate } from './write-gate.ts';

const full = controlErrors.fail('STORE_FULL', 'The disk of /data is full.', { hint: 'Make room.' });
const damaged = controlErrors.fail('STORE_DAMAGED', '/data is damaged.');

describe('WriteGate', () => {
  let clock: ManualClock;
  let gate: WriteGate;
  let tries: number;
  let inTheWay: Error | undefined;
  beforeEach(() => {
    clock = new ManualClock();
    tries = 0;
    inTheWay = undefined;
    const tryWriting = () => {
      tries += 1;
      if (inTheWay !== undefined) throw inTheWay;
    };
    gate = new WriteGate({ tryWriting, clock, log: silentLogger });
  });

  it('lets writes through at first, and refuses them once one failed, saying why', () => {
    gate.requireOpen();
    assert.deepEqual(gate.state, { mode: 'writable' });
    const answer = gate.answerTo(full);
    assert.throws(
      () => {
        throw answer;
      },
      { code: 'STORE_READ_ONLY', message: 'Nothing was changed. The disk of /data is full.' },
    );
    assert.throws(() => gate.requireOpen(), { code: 'STORE_READ_ONLY', hint: 'Make room.' });
    const since = clock.timestamp();
    assert.deepEqual(gate.state, { mode: 'read_only', cause: 'STORE_FULL', since });
  });

  it('tries every 2 s and opens when a try is kept', async () => {
    inTheWay = full;
    gate.shut(full);
    await clock.pass(3 * GATE_TIMES.tryAfterMs);
    assert.equal(tries, 3);
    assert.equal(gate.state.mode, 'read_only');
    inTheWay = undefined;
    await clock.pass(GATE_TIMES.tryAfterMs);
    assert.equal(gate.state.mode, 'writable');
    assert.equal(clock.pendingTimers, 0);
  });

  it('names what is in the way by now', async () => {
    inTheWay = controlErrors.fail('STORE_BUSY', '/data is locked by process 7.');
    gate.shut(full);
    await clock.pass(GATE_TIMES.tryAfterMs);
    assert.throws(() => gate.requireOpen(), { message: /locked by process 7/ });
  });

  it('stays shut for a damaged log, also when a try finds it damaged', async () => {
    gate.shut(damaged);
    await clock.pass(10 * GATE_TIMES.tryAfterMs);
    assert.equal(tries, 0);
    const other = new WriteGate({
      tryWriting: () => {
        throw damaged;
      },
      clock,
      log: silentLogger,
    });
    other.shut(full);
    await clock.pass(GATE_TIMES.tryAfterMs);
    assert.equal(clock.pendingTimers, 0);
    assert.throws(() => other.requireOpen(), { message: 'Nothing was changed. /data is damaged.' });
  });

  it('is shut by no failure of a write itself, and passes on an outcome that is unknown', () => {
    const missing = controlErrors.fail('TENANT_NOT_FOUND', 'Tenant "a" does not exist.');
    assert.equal(gate.answerTo(missing), missing);
    gate.requireOpen();
    const unknown = controlErrors.fail('STORE_OUTCOME_UNKNOWN', 'Who knows.');
    assert.equal(gate.answerTo(unknown), unknown);
    assert.equal(gate.state.mode, 'read_only');
  });
});
