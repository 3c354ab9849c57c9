/** A supervisor over scripted workers and a clock that is turned: who is started, killed, told. */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { resolveSettings } from '@dbbouncer/shared/settings/resolve.ts';
import { followPromises, ManualClock } from '../../../tests/support/manual-clock.ts';
import type { Readiness } from '../telemetry/http.ts';
import type { FromWorker, ToWorker } from './messages.ts';
import { Supervisor } from './supervisor.ts';
import type { WorkerProcess } from './worker-life.ts';

const { settings } = resolveSettings({ flags: { workers: '2' }, env: {}, cwd: '/' });
const HEARTBEAT_MS = settings.workerHeartbeatTimeoutMs;

/** A process that does what the test says. */
class ScriptedWorker implements WorkerProcess {
  static all: ScriptedWorker[] = [];
  readonly pid = ScriptedWorker.all.push(this);
  readonly told: string[] = [];
  #message: (message: FromWorker) => void = () => {};
  #end: ((how: string) => void) | undefined;

  send(message: ToWorker): void {
    this.told.push(message.kind === 'stop' ? `stop: ${message.reason}` : message.kind);
  }

  kill(): void {
    this.end('SIGKILL');
  }

  onMessage(listener: (message: FromWorker) => void): void {
    this.#message = listener;
  }

  onEnd(listener: (how: string) => void): void {
    this.#end = listener;
  }

  get isAlive(): boolean {
    return this.#end !== undefined;
  }

  starts(): void {
    this.#message({ kind: 'started', proxyId: `eu-${this.pid}` as ProxyId });
  }

  beats(appliedPosition = 0, readiness: Readiness = { kind: 'ready' }): void {
    this.#message({ kind: 'beat', condition: { readiness, clients: 0, appliedPosition } });
  }

  fails(message: string): void {
    const failure = { code: 'SETTINGS_INVALID', message, hint: undefined };
    this.#message({ kind: 'failed', failure });
    this.end('exit code 1');
  }

  end(how: string): void {
    this.#end?.(how);
    this.#end = undefined;
  }
}

let clock: ManualClock;
let supervisor: Supervisor;

beforeEach(() => {
  ScriptedWorker.all = [];
  clock = new ManualClock();
  supervisor = new Supervisor({
    task: {
      settings,
      version: 'test',
      role: { family: 'eu' as ProxyId, ports: { tcpFd: 4, unixFd: undefined } },
    },
    spawn: () => new ScriptedWorker(),
    bus: undefined,
    clock,
    log: silentLogger,
  });
});

const worker = (number: number): ScriptedWorker => {
  const found = ScriptedWorker.all[number - 1];
  assert.ok(found !== undefined, `worker ${number} was started`);
  return found;
};
const born = (): number => ScriptedWorker.all.length;

/** Two workers serve. */
async function started(): Promise<void> {
  const start = supervisor.start();
  for (const one of ScriptedWorker.all) {
    one.starts();
    one.beats();
  }
  await start;
}

/** Lets time pass, while those who live give their signs of life. */
async function passAlive(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 1_000) {
    for (const one of ScriptedWorker.all) if (one.isAlive) one.beats();
    await clock.pass(Math.min(1_000, ms - passed));
  }
}

describe('Supervisor', () => {
  it('is ready when the first of its workers is, and not while it stops', async () => {
    const start = supervisor.start();
    assert.deepEqual(supervisor.readiness, { kind: 'not_ready', reason: 'not_listening' });
    worker(2).starts();
    worker(2).beats();
    assert.deepEqual(supervisor.readiness, { kind: 'ready' });
    worker(1).starts();
    await start;
    const stopped = supervisor.stop();
    assert.deepEqual(supervisor.readiness, { kind: 'not_ready', reason: 'draining' });
    for (const one of [worker(1), worker(2)]) {
      assert.equal(one.told.at(-1), 'stop: shutdown');
      one.end('exit code 0');
    }
    await stopped;
    assert.equal(born(), 2);
  });

  it('fails with the words of a worker that cannot start, and ends the others', async () => {
    const start = supervisor.start();
    worker(1).starts();
    worker(2).fails('port 1 is in use');
    await followPromises();
    assert.equal(worker(1).told.at(-1), 'stop: shutdown');
    worker(1).end('exit code 0');
    await assert.rejects(start, { code: 'SETTINGS_INVALID', message: 'port 1 is in use' });
    assert.equal(born(), 2, 'nobody is started in its place');
  });

  it('starts the next at once, then after 500 ms, 1 s, 2 s, while they keep ending', async () => {
    await started();
    for (const [count, delayMs] of [
      [3, 0],
      [4, 500],
      [5, 1_000],
      [6, 2_000],
    ] as const) {
      worker(count === 3 ? 1 : count - 1).end('exit code 1');
      await clock.pass(Math.max(0, delayMs - 1));
      assert.equal(born(), delayMs === 0 ? count : count - 1);
      await clock.pass(1);
      assert.equal(born(), count);
      worker(count).starts();
      worker(2).beats();
    }
    await passAlive(60_000);
    worker(6).end('SIGSEGV');
    await followPromises();
    assert.equal(born(), 7, 'at once again after a life of 60 s');
  });

  it(`kills a worker that was silent for more than ${HEARTBEAT_MS} ms, no other`, async () => {
    await started();
    for (let second = 0; second < HEARTBEAT_MS / 1_000; second += 1) {
      worker(1).beats();
      await clock.pass(1_000);
    }
    assert.ok(worker(2).isAlive);
    worker(1).beats();
    await clock.pass(1_000);
    assert.deepEqual([worker(1).isAlive, worker(2).isAlive, born()], [true, false, 3]);
  });

  it('kills nobody when the whole machine stood still for an hour', async () => {
    await started();
    clock.stall(3_600_000);
    await clock.pass(1_000);
    assert.ok(worker(1).isAlive && worker(2).isAlive);
  });

  it('kills who is told to end and has not 8 s after shutdown_timeout', async () => {
    await started();
    const stopped = supervisor.stop();
    worker(1).end('exit code 0');
    await passAlive(settings.shutdownTimeoutMs + 7_000);
    assert.ok(worker(2).isAlive);
    await passAlive(1_000);
    assert.ok(!worker(2).isAlive);
    await stopped;
  });
});

describe('replacing workers', () => {
  const stops = () => ScriptedWorker.all.filter(({ told }) => told.includes('stop: replaced'));

  it('tells one to end only when another serves what it serves, and one at a time', async () => {
    await started();
    worker(1).beats(7);
    worker(2).beats(7);
    const replaced = supervisor.replaceAll();
    worker(3).starts();
    worker(3).beats(6);
    await followPromises();
    assert.equal(stops().length, 0, 'it lacks an event still');
    worker(3).beats(7);
    await followPromises();
    assert.deepEqual(stops(), [worker(1)]);
    assert.equal(born(), 3, 'the second waits for the end of the first');
    worker(1).end('exit code 0');
    await followPromises();
    worker(4).starts();
    worker(4).beats(7);
    await followPromises();
    worker(2).end('exit code 0');
    await replaced;
    assert.deepEqual(
      ScriptedWorker.all.map(({ isAlive }) => isAlive),
      [false, false, true, true],
    );
  });

  it('leaves all as they are when the new one cannot start', async () => {
    await started();
    const replaced = supervisor.replaceAll();
    worker(3).fails('no memory');
    await replaced;
    assert.deepEqual([stops().length, born()], [0, 3]);
    assert.ok(worker(1).isAlive && worker(2).isAlive);
  });

  it('gives up a new one that has no config after 60 s, and not before', async () => {
    await started();
    const replaced = supervisor.replaceAll();
    worker(3).starts();
    for (let second = 0; second < 60; second += 1) {
      assert.ok(worker(3).isAlive);
      for (const one of [worker(1), worker(2)]) one.beats();
      worker(3).beats(0, { kind: 'not_ready', reason: 'no_config' });
      await clock.pass(1_000);
    }
    await replaced;
    assert.deepEqual([worker(3).isAlive, stops().length, born()], [false, 0, 3]);
  });

  it('has the new one take over when the old one ends meanwhile, and starts no third', async () => {
    await started();
    const replaced = supervisor.replaceAll();
    worker(1).end('SIGKILL');
    await followPromises();
    assert.equal(born(), 3);
    worker(3).starts();
    worker(3).beats();
    await followPromises();
    worker(4).starts();
    worker(4).beats();
    await followPromises();
    worker(2).end('exit code 0');
    await replaced;
    assert.equal(born(), 4);
  });

  it('is one replacement for two signals', async () => {
    await started();
    const both = [supervisor.replaceAll(), supervisor.replaceAll()];
    assert.equal(born(), 3);
    worker(3).fails('no memory');
    await Promise.all(both);
    assert.equal(born(), 3);
  });
});
