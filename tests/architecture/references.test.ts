/** The generated parts of docs/: as the code has it, and honest about what has no effect. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { describe, it } from 'node:test';
import { SETTINGS } from '@dbbouncer/shared/settings/setting-list.ts';
import { partNames, withPart } from './document-parts.ts';
import { controlPage, ownMetrics, proxyPage } from './metrics-reference.ts';
import { references, updated, WRITE_COMMAND } from './references.ts';
import { WITHOUT_EFFECT } from './settings-reference.ts';
import { readSourceTree, ROOT } from './source-tree.ts';

for (const [path, parts] of Object.entries(await references())) {
  describe(relative(ROOT, path), () => {
    const document = readFileSync(path, 'utf8');

    it('has the parts that are generated and no others', () => {
      assert.deepEqual(partNames(document), Object.keys(parts));
    });

    it('is as the code has it', () => {
      assert.equal(document, updated(document, parts), `run: ${WRITE_COMMAND}`);
    });
  });
}

describe('settings said to have no effect', () => {
  const OF_BOTH_PLANES = ['cli/src/run-planes.ts', 'cli/src/nats-bus-of.ts'];
  /** Where the values of settings are used; elsewhere they are only listed. */
  const users = readSourceTree().filter(
    ({ path, kind }) =>
      kind === 'product' &&
      (/^(control-plane|data-plane)\//.test(path) || OF_BOTH_PLANES.includes(path)),
  );

  it('are exactly those whose name stands nowhere in the planes', () => {
    const unread = Object.keys(SETTINGS).filter(
      (name) => !users.some(({ code }) => new RegExp(`\\b${name}\\b`).test(code)),
    );
    assert.deepEqual(unread, [...WITHOUT_EFFECT]);
  });
});

describe('the metrics of both planes', () => {
  it('have a name, a type, a help text and labels each', async () => {
    for (const page of [await proxyPage(), await controlPage()]) {
      const metrics = ownMetrics(page);
      assert.ok(metrics.length >= 10, `${metrics.length} metrics`);
      const named = page.match(/^# TYPE dbbouncer_/gm) ?? [];
      assert.equal(metrics.length, named.length);
      for (const { name, type, help } of metrics) {
        assert.match(type, /^(counter|gauge|histogram)$/);
        assert.match(help, /^[0A-Z][^.]+$/, name);
        assert.equal(type === 'counter', name.endsWith('_total') && !/_connections_/.test(name));
      }
      const labels = metrics.find(({ name }) => name === 'dbbouncer_connections_idle')?.labels;
      assert.deepEqual(labels, ['tenant', 'db_type']);
    }
  });
});

describe('withPart', () => {
  const document = 'a\n<!-- begin x: note -->\nold\n<!-- end x -->\nb\n';

  it('replaces one part and leaves the rest', () => {
    const expected = 'a\n<!-- begin x: note -->\n\n$& new\n\n<!-- end x -->\nb\n';
    assert.equal(withPart(document, 'x', ' $& new\n'), expected);
  });

  it('refuses a document without the part', () => {
    assert.throws(() => withPart(document, 'y', ''), /no part "y"/);
  });
});
