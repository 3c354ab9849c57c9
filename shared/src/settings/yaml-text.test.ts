/** Records written one by one: the text is the library's. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { parse } from 'yaml';
import { toYaml, yamlOfRecords } from './yaml-text.ts';

const names = fc.oneof(
  fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9_-]{0,11}$/),
  fc.constantFrom('true', 'NULL', '1e5', '0x1F', 'tenant-7', '12', 'a.b'),
);
const values = fc.oneof(
  names,
  fc.string(),
  fc.constantFrom('a\nb', 'a\n\n b\n', '- x', '# y', 'a: b', 'a #b', ' a', ''),
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
  fc.array(fc.oneof(names, fc.dictionary(names, names, { maxKeys: 2 })), { maxLength: 3 }),
  fc.dictionary(names, fc.oneof(fc.integer(), fc.string()), { maxKeys: 3 }),
);
const records = fc.dictionary(names, fc.dictionary(names, values, { maxKeys: 4 }), { maxKeys: 4 });

describe('records as YAML', () => {
  it('are the text that the library makes of them at once', () => {
    fc.assert(
      fc.property(records, (given) => {
        const text = [...yamlOfRecords('tenants', given)].join('');
        assert.equal(text, toYaml({ tenants: given }));
      }),
      { numRuns: 500 },
    );
  });

  it('read as what they were', () => {
    fc.assert(
      fc.property(fc.dictionary(names, fc.dictionary(names, fc.string())), (given) => {
        const text = [...yamlOfRecords('tenants', given)].join('');
        assert.deepEqual(parse(text), JSON.parse(JSON.stringify({ tenants: given })));
      }),
    );
  });
});
