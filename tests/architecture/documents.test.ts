/** README, ARCHITECTURE, STYLE and docs/: what they link exists, what they show can be used. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { createProgram } from '@dbbouncer/cli/program.ts';
import type { Actions } from '@dbbouncer/cli/program.ts';
import { parseConfigFile } from '@dbbouncer/shared/settings/config-file.ts';
import { formatProblems } from '@dbbouncer/shared/settings/config-problems.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { settingsFlags } from '@dbbouncer/shared/settings/setting-list.ts';
import { readDocument, readDocuments, section } from './markdown.ts';
import { controlPage, ownMetrics, proxyPage, supervisorPage } from './metrics-reference.ts';
import { readSourceTree, ROOT } from './source-tree.ts';

const PROSE_COLUMNS_MAX = 120;

const documents = readDocuments();
const architecture = readDocument('ARCHITECTURE.md');

/** Every violation is told. */
function none(violations: Iterable<string>): void {
  const list = [...violations];
  assert.equal(list.length, 0, `${list.length} to mend:\n${list.join('\n')}`);
}

describe('the documents', () => {
  it('are there', () => {
    const paths = documents.map(({ path }) => path);
    for (const path of ['README.md', 'ARCHITECTURE.md', 'STYLE.md', 'docs/configuration.md']) {
      assert.ok(paths.includes(path), path);
    }
  });

  it('link files, folders and headings that exist', () => {
    none(documents.flatMap((document) => [...brokenLinks(document)]));
  });

  it(`wrap prose at ${PROSE_COLUMNS_MAX} columns`, () => {
    none(
      documents.flatMap(({ path, lines }) =>
        lines.flatMap((line, index) =>
          line.startsWith('|') || line.length <= PROSE_COLUMNS_MAX
            ? []
            : [`${path}:${index + 1} has ${line.length} columns`],
        ),
      ),
    );
  });

  it('show config files that are right', () => {
    const files = documents.flatMap(({ blocks }) => [
      ...blocks.filter(({ kind }) => kind === 'yaml').map(({ text }) => text),
      ...blocks.flatMap(({ text }) => heredocs(text)),
    ]);
    assert.ok(files.length >= 2);
    for (const text of files) {
      const reading = parseConfigFile(text, 'example.yaml', () => 'value');
      none(reading.outcome === 'ok' ? [] : formatProblems('example.yaml', reading.problems));
    }
  });

  it('name metrics that are exported', async () => {
    const pages = [await proxyPage(), await supervisorPage(), await controlPage()];
    const exported = new Set(pages.flatMap(ownMetrics).map(({ name }) => name));
    const named = documents.flatMap(({ text }) => text.match(/\bdbbouncer_[a-z_]+[a-z]\b/g) ?? []);
    assert.ok(named.length > 30);
    none(named.filter((name) => !exported.has(name.replace(/_(bucket|sum|count)$/, ''))));
  });

  it('name variables and flags of dbbouncer that exist', () => {
    const known = new Set<string>(settingsFlags.flatMap(({ env, flag }) => [env, flag ?? env]));
    const variables = documents.flatMap(({ text }) => text.match(/\bDBBOUNCER_[A-Z_]+[A-Z]\b/g));
    const commands = documents.flatMap(({ text }) => text.match(/\bdbbouncer [a-z-]+ .*--.*/g));
    const flags = commands.flatMap((line) => line?.match(/--[a-z][a-z-]+/g) ?? []);
    assert.ok(flags.length > 3);
    const ownFlags = new Set(['--help', ...flagsOf(createProgram({} as Actions, '0'))]);
    const onTheBus = new Set<unknown>(Object.values(SUBJECTS));
    none([
      ...variables.filter((name) => name !== null && !known.has(name) && !onTheBus.has(name)),
      ...flags.filter((name) => !known.has(name) && !ownFlags.has(name)),
    ] as string[]);
  });
});

type Program = ReturnType<typeof createProgram>;

/** Of the command and of all below it. */
function flagsOf({ options, commands }: Pick<Program, 'options' | 'commands'>): string[] {
  return [...options.map(({ long }) => long ?? ''), ...commands.flatMap(flagsOf)];
}

describe('ARCHITECTURE.md', () => {
  const targets = new Set(architecture.links.map(({ target }) => target));

  it('links a file in each sentence of the two walks', () => {
    for (const walk of ['The way of a byte', 'The way of a tenant change']) {
      const steps = section(architecture, walk)
        .split(/^\d+\. /m)
        .slice(1);
      assert.ok(steps.length > 20, `${walk}: ${steps.length} steps`);
      none(steps.filter((step) => !/\]\([a-z-]+\/src\/[^)]+\.ts\)/.test(step)));
    }
  });

  it('mentions every folder with code', () => {
    const folders = new Set(readSourceTree().map(({ path }) => dirname(path)));
    assert.ok(folders.size > 25);
    none([...folders].filter((folder) => !targets.has(folder)));
  });

  it('names tests that exist for each invariant', () => {
    const tests = architecture.links.filter(
      ({ target, text }) => target.endsWith('.test.ts') && text.includes(' '),
    );
    assert.ok(tests.length >= 30, `${tests.length} tests named`);
    none(
      tests
        .filter(({ target, text }) => !readFileSync(join(ROOT, target), 'utf8').includes(text))
        .map(({ target, text }) => `${target} has no test "${text}"`),
    );
    const invariants = section(architecture, 'Invariants')
      .split(/^\*\*\d+\. /m)
      .slice(1);
    assert.equal(invariants.length, 10);
    none(invariants.filter((text) => !/\]\([^)]+\.test\.ts\)/.test(text)));
  });
});

function* brokenLinks({ path, links }: ReturnType<typeof readDocument>): Iterable<string> {
  for (const { target, anchor } of links) {
    const file = target === '' ? path : target;
    if (!existsSync(join(ROOT, file))) yield `${path} links ${target}, which is not there`;
    else if (anchor !== '' && !readDocument(file).anchors.has(anchor)) {
      yield `${path} links ${file}#${anchor}, which is no heading`;
    }
  }
}

/** Config files that a shell block writes. */
function heredocs(text: string): readonly string[] {
  return Array.from(text.matchAll(/<<'YAML'\n([^]*?)^YAML$/gm), ([, file = '']) => file);
}
