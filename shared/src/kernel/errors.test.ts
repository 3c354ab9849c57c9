/** Errors from a catalogue: what they carry and who recognises them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sharedErrors } from '../errors.ts';
import { assert as assertInvariant, InvariantViolation, unreachable } from './assert.ts';
import { AppError, defineErrors } from './errors.ts';

const catalogue = defineErrors({
  DISK_FULL: { kind: 'capacity', retryable: true, summary: 'No space is left.' },
  BAD_NAME: { kind: 'client', retryable: false, summary: 'The name cannot be used.' },
});

describe('defineErrors', () => {
  it('makes errors of the kind and retryability declared for their code', () => {
    const error = catalogue.fail('DISK_FULL', 'The disk is full');
    assert.ok(error instanceof AppError && error instanceof Error);
    assert.deepEqual(
      [error.name, error.code, error.kind, error.retryable, error.message],
      ['AppError', 'DISK_FULL', 'capacity', true, 'The disk is full'],
    );
    assert.equal(catalogue.fail('BAD_NAME', 'No').retryable, false);
  });

  it('carries detail, hint, context and cause, and none of them unasked', () => {
    const cause = new Error('ENOSPC');
    const full = catalogue.fail('DISK_FULL', 'Full', {
      detail: '0 bytes of 5 GB',
      hint: 'Delete something.',
      context: { path: '/data' },
      cause,
    });
    assert.equal(full.detail, '0 bytes of 5 GB');
    assert.equal(full.hint, 'Delete something.');
    assert.deepEqual(full.context, { path: '/data' });
    assert.equal(full.cause, cause);
    const plain = catalogue.fail('DISK_FULL', 'Full');
    assert.deepEqual([plain.detail, plain.hint, plain.context], [undefined, undefined, {}]);
    assert.ok(!('cause' in plain));
  });

  it('recognises its own errors and no others', () => {
    assert.ok(catalogue.is(catalogue.fail('BAD_NAME', 'No')));
    const others = [sharedErrors.fail('BUS_UNAVAILABLE', 'No'), new Error('No'), 'BAD_NAME', null];
    for (const other of others) assert.ok(!catalogue.is(other));
    const named = { kind: 'client', retryable: false, summary: '' } as const;
    assert.ok(!catalogue.is(new AppError('toString', named, 'inherited names are no codes')));
  });
});

describe('assertions', () => {
  it('throw InvariantViolation with the broken rule, and nothing while it holds', () => {
    assertInvariant(Number('3') > 2, 'three is above two');
    assert.throws(() => assertInvariant(Number('1') > 2, 'one is above two'), {
      name: 'InvariantViolation',
      message: 'one is above two',
    });
  });

  it('name the value that a closed union should not have had', () => {
    assert.throws(
      () => unreachable('surprise' as never),
      (error) => {
        return error instanceof InvariantViolation && error.message.includes('"surprise"');
      },
    );
  });
});
