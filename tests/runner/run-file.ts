/**
 * Runs one test file in a process of its own, by node's test runner, and says what came of it.
 * Owns: the time limits of a file, and that a file which crashes, hangs or holds no test counts as
 * failed.
 * Leaves: choosing files to tests/run.ts, words and colours to report.ts.
 */
import { run } from 'node:test';
import type { EventData } from 'node:test';
import { inspect } from 'node:util';

export interface Failure {
  readonly file: string;
  /** Where the test stands in the file; absent when the file itself failed. */
  readonly line?: number;
  /** The suite and the test, or what the file did. */
  readonly name: string;
  /** The error in full, with its stack. */
  readonly text: string;
}

export interface FileOutcome {
  readonly file: string;
  readonly passed: number;
  readonly skipped: number;
  /** How many tests were skipped for each reason that was given. */
  readonly skipReasons: Readonly<Record<string, number>>;
  readonly failures: readonly Failure[];
  readonly durationMs: number;
  /** What the file wrote to its standard output and error, mixed as it came. */
  readonly output: string;
}

export interface FileLimits {
  /** The file's process is ended after it. */
  readonly fileMs: number;
  /** Of each test and suite in it that states no limit of its own; the others go on. */
  readonly testMs: number;
  /** How long the process may live on once all its tests are done; then it is ended. */
  readonly exitMs: number;
}

interface Tally {
  passed: number;
  skipped: number;
  readonly skipReasons: Record<string, number>;
  readonly failures: Failure[];
  /** Tests and suites that the file has named and that are not done. */
  readonly due: Set<string>;
  readonly running: Map<string, string>;
  output: string;
}

const OUTPUT_CHARS_MAX = 64 * 1024;
const PRELOADED = [`--import=${new URL('shared-template.ts', import.meta.url).href}`];

/** Within its limits; where it meets one it counts as failed. */
export async function runFile(file: string, limits: FileLimits): Promise<FileOutcome> {
  const startedMs = performance.now();
  const abort = new AbortController();
  const limit = setTimeout(() => abort.abort(), limits.fileMs);
  let exitLimit: NodeJS.Timeout | undefined;
  const tally: Tally = {
    passed: 0,
    skipped: 0,
    skipReasons: {},
    failures: [],
    due: new Set(),
    running: new Map(),
    output: '',
  };
  const execArgv = [...PRELOADED, `--test-timeout=${limits.testMs}`];
  const events = run({ files: [file], signal: abort.signal, execArgv });
  events.on('test:enqueue', (data) => void (data.name !== file && tally.due.add(place(data))));
  events.on('test:dequeue', (data) => tally.running.set(place(data), data.name));
  events.on('test:complete', (data) => {
    tally.running.delete(place(data));
    tally.due.delete(place(data));
    clearTimeout(exitLimit);
    exitLimit = setTimeout(() => tally.due.size === 0 && abort.abort(), limits.exitMs);
  });
  events.on('test:stdout', (data) => write(tally, data.message));
  events.on('test:stderr', (data) => write(tally, data.message));
  events.on('test:pass', (data) => count(tally, file, data));
  events.on('test:fail', (data) => {
    if (data.name === file) tally.failures.push(fileFailure(tally, file, data, limits));
    else if (data.details.type !== 'suite' || !isOnlyOfSubtests(data)) fail(tally, file, data);
  });
  for await (const event of events) void event;
  clearTimeout(limit);
  clearTimeout(exitLimit);
  const { due: _, running: __, ...outcome } = tally;
  return { file, ...outcome, durationMs: performance.now() - startedMs };
}

function place(data: EventData.TestEnqueue | EventData.TestComplete): string {
  return `${data.line}:${data.column}:${data.name}`;
}

function write(tally: Tally, text: string): void {
  tally.output = (tally.output + text).slice(-OUTPUT_CHARS_MAX);
}

function count(tally: Tally, file: string, data: EventData.TestPass): void {
  if (data.details.type === 'suite') return;
  if (data.name === file) {
    tally.failures.push({ file, name: 'holds no test', text: 'No test ran in this file.' });
  } else if (data.skip !== undefined || data.todo !== undefined) {
    tally.skipped += 1;
    if (typeof data.skip !== 'string') return;
    tally.skipReasons[data.skip] = (tally.skipReasons[data.skip] ?? 0) + 1;
  } else {
    tally.passed += 1;
  }
}

function isOnlyOfSubtests(data: EventData.TestFail): boolean {
  return (data.details.error as { failureType?: string }).failureType === 'subtestsFailed';
}

function fail(tally: Tally, file: string, data: EventData.TestFail): void {
  const { error } = data.details;
  if (data.todo !== undefined) {
    tally.skipped += 1;
    return;
  }
  const suite = (data.details as { classname?: string }).classname;
  tally.failures.push({
    file,
    ...(data.line === undefined ? {} : { line: data.line }),
    name: suite === undefined ? data.name : `${suite} › ${data.name}`,
    text: withoutInternals(inspect(error.cause ?? error)),
  });
}

/** Node's own stack lines tell nothing; the brace that opens an error's fields stays. */
function withoutInternals(text: string): string {
  return text.replaceAll(/\n\s+at [^\n]*\(?node:[^\n]*?( \{)?(?=\n|$)/g, '$1');
}

/**
 * The file's process ended badly: killed by us after the limit, by a signal, or with an exit code.
 */
function fileFailure(
  tally: Tally,
  file: string,
  data: EventData.TestFail,
  { fileMs, exitMs }: FileLimits,
): Failure {
  const error = data.details.error as { failureType?: string; exitCode?: number; signal?: string };
  if (error.failureType === 'testAborted') {
    const names = [...tally.running.values()].filter((name) => name !== file);
    if (names.length > 0) {
      const text = `Still running: ${names.join(' › ')}`;
      return { file, name: `did not end within ${fileMs / 1000} s`, text };
    }
    const text = 'Something keeps its process alive: a timer, a socket or a child.';
    return { file, name: `did not end within ${exitMs / 1000} s of its last test`, text };
  }
  const how = error.signal ? `signal ${error.signal}` : `exit code ${error.exitCode ?? 'unknown'}`;
  return { file, name: `its process ended with ${how}`, text: tally.output.trimEnd() };
}
