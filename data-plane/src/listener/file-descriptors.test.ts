/** The number of clients is held within the file descriptors of the process. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clientsThatFit, openFilesMax } from './file-descriptors.ts';

const limits =
  'Limit  Soft Limit  Hard Limit  Units\nMax open files            1024  4096  files\n';

describe('clientsThatFit', () => {
  it('keeps a fifth of 1024 descriptors back for everything that is no client', () => {
    assert.equal(
      openFilesMax(() => limits),
      1024,
    );
    assert.equal(clientsThatFit(10_000, 1024), 1024 - 205);
  });

  it('leaves the setting as it is when there are enough, or nobody knows', () => {
    assert.equal(clientsThatFit(10_000, 1_000_000), 10_000);
    assert.equal(clientsThatFit(10_000, undefined), 10_000);
    assert.equal(
      openFilesMax(() => 'Max open files  unlimited'),
      undefined,
    );
    assert.equal(
      openFilesMax(() => {
        throw new Error('no such file');
      }),
      undefined,
    );
  });
});
