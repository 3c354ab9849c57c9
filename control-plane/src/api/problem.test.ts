/** The map from error codes to HTTP statuses against the catalogues, and what a refusal tells. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { defineErrors } from '@dbbouncer/shared/kernel/errors.ts';
import { controlErrors } from '../errors.ts';
import { apiErrors, invalidField } from './api-errors.ts';
import { HTTP_STATUS, isFault, toProblem } from './problem.ts';

const CATALOGUES = [controlErrors.specs, sharedErrors.specs, apiErrors.specs];

describe('HTTP_STATUS', () => {
  it('has a status for every code of the control plane and no code that nobody declares', () => {
    const declared = CATALOGUES.flatMap((specs) => Object.keys(specs));
    assert.deepEqual(Object.keys(HTTP_STATUS).sort(), [...new Set(declared)].sort());
  });

  it('blames the sender with 4xx and us with 5xx, as the kinds say', () => {
    for (const specs of CATALOGUES) {
      for (const [code, { kind }] of Object.entries(specs)) {
        const status = HTTP_STATUS[code as keyof typeof HTTP_STATUS];
        if (kind === 'client') assert.ok(status >= 400 && status < 500, code);
        else assert.ok(status >= 500 || status === 429, code);
      }
    }
  });
});

describe('toProblem', () => {
  it('tells message and hint of an expected failure, and none of its context or cause', () => {
    const error = controlErrors.fail('TENANT_EXISTS', 'It exists.', {
      hint: 'Change it.',
      context: { secret: 'context' },
      cause: new Error('cause'),
    });
    assert.deepEqual(toProblem(error, 'r1'), {
      type: 'urn:dbbouncer:error:TENANT_EXISTS',
      title: controlErrors.specs.TENANT_EXISTS.summary,
      status: 409,
      detail: 'It exists. Change it.',
      code: 'TENANT_EXISTS',
      request_id: 'r1',
    });
  });

  it('lists wrong fields by path', () => {
    const problem = toProblem(invalidField('limit', 'must be at least 1'), 'r');
    assert.deepEqual(problem.errors, [{ path: 'limit', message: 'must be at least 1' }]);
    assert.equal(problem.detail, 'limit must be at least 1.');
  });

  it('says nothing of a fault but that there is one', () => {
    const foreign = defineErrors({
      SECRET_CODE: { kind: 'internal', retryable: false, summary: 'x' },
    });
    const faults = [
      new Error('/etc/passwd'),
      'text',
      undefined,
      null,
      foreign.fail('SECRET_CODE', 'passwd'),
    ];
    for (const fault of faults) {
      const problem = toProblem(fault, 'r');
      assert.equal(problem.code, 'INTERNAL');
      assert.doesNotMatch(JSON.stringify(problem), /passwd|SECRET_CODE/);
      assert.ok(isFault(problem));
    }
  });
});
