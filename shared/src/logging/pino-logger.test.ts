/** What a log line looks like, and that fields named like secrets do not get through. */
import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { Logger, LogLevel } from '../kernel/log.ts';
import { toDescriptor } from './line-writer.ts';
import type { WriteBytes } from './line-writer.ts';
import { createPinoLogger, logLines } from './pino-logger.ts';

interface Line {
  readonly [field: string]: unknown;
}

function recording(level: LogLevel): { readonly log: Logger; readonly lines: () => Line[] } {
  const written: string[] = [];
  const log = createPinoLogger(level, { proxy: 'p1' }, { write: (text) => written.push(text) });
  return { log, lines: () => written.map((text) => JSON.parse(text) as Line) };
}

describe('createPinoLogger', () => {
  it('writes level as a word, an RFC 3339 time, the fields and the message', () => {
    const { log, lines } = recording('info');
    log.child({ room: 'api' }).info({ port: 8080 }, 'listening');
    const [line] = lines();
    assert.match(String(line?.['time']), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    assert.deepEqual(
      { ...line, time: '' },
      { level: 'info', time: '', proxy: 'p1', room: 'api', port: 8080, msg: 'listening' },
    );
  });

  it('cuts out secrets at the top and two levels down', () => {
    const { log, lines } = recording('info');
    const secret = 'hunter2';
    log.info(
      {
        password: secret,
        tenant: { api_key: secret, deep: { secret } },
        headers: { authorization: secret },
      },
      'x',
    );
    assert.equal(lines().length, 1);
    assert.ok(!JSON.stringify(lines()).includes(secret));
  });

  it('leaves out lines below its level, and all of them when silent', () => {
    const { log, lines } = recording('warn');
    log.debug({}, 'a');
    log.info({}, 'b');
    log.warn({}, 'c');
    assert.deepEqual(
      lines().map((line) => line['msg']),
      ['c'],
    );
    const quiet = recording('silent');
    quiet.log.error({}, 'd');
    assert.deepEqual(quiet.lines(), []);
  });

  it('writes an error with its code and its causes', () => {
    const { log, lines } = recording('info');
    const cause = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
    log.error({ error: new Error('cannot dial', { cause }) }, 'dial failed');
    const error = lines()[0]?.['error'] as { message: string; cause: { code: string } };
    assert.equal(error.message, 'cannot dial');
    assert.equal(error.cause.code, 'ECONNREFUSED');
  });
});

/** A place that fails as it is told, and takes three bytes at a time else. */
function fickle(fail: () => string | undefined) {
  let text = '';
  const write: WriteBytes = (bytes, offset) => {
    const code = fail();
    if (code !== undefined) throw Object.assign(new Error(code), { code });
    const taken = bytes.subarray(offset, offset + 3);
    text += Buffer.from(taken).toString();
    return taken.length;
  };
  return { write, lines: () => text.split('\n').filter((line) => line !== '') };
}

describe('a log that cannot be written', () => {
  it('of a full disk ends nothing', () => {
    const full = openSync('/dev/full', 'w');
    const log = createPinoLogger('info', {}, logLines(toDescriptor(full)));
    for (let line = 0; line < 3; line += 1) log.error({}, 'nobody will read this');
    closeSync(full);
    log.error({}, 'nor this');
  });

  it('says how many lines were lost, and why, when it can be again', () => {
    let code: string | undefined;
    const place = fickle(() => code);
    const log = createPinoLogger('info', {}, logLines(place.write));
    log.info({}, 'first');
    code = 'ENOSPC';
    for (let line = 0; line < 5; line += 1) log.info({}, 'lost');
    code = undefined;
    log.info({}, 'last');
    const told = place.lines().map((line) => {
      const { msg, lines, why } = JSON.parse(line) as Line;
      return { msg, lines, why };
    });
    const nothing = { lines: undefined, why: undefined };
    assert.deepEqual(told, [
      { msg: 'first', ...nothing },
      { msg: 'lines of the log were lost', lines: 5, why: 'ENOSPC' },
      { msg: 'last', ...nothing },
    ]);
  });

  it('does not run a line into one that was cut off', () => {
    let calls = 0;
    const place = fickle(() => (calls++ === 2 ? 'EIO' : undefined));
    const log = createPinoLogger('info', {}, logLines(place.write));
    log.info({}, 'cut');
    log.info({}, 'whole');
    const [cut = '', lost = '', whole = ''] = place.lines();
    assert.equal(cut.length, 6);
    assert.equal((JSON.parse(lost) as Line)['lines'], 1);
    assert.equal((JSON.parse(whole) as Line)['msg'], 'whole');
  });

  it('waits some 50 ms for a pipe that is full, and no longer', () => {
    let refusals = 0;
    let isFull = false;
    const place = fickle(() => (isFull || refusals++ < 4 ? 'EAGAIN' : undefined));
    const log = createPinoLogger('info', {}, logLines(place.write));
    log.info({}, 'late');
    assert.equal(place.lines().length, 1);
    isFull = true;
    const beganMs = performance.now();
    log.info({}, 'lost');
    assert.ok(performance.now() - beganMs < 1_000);
    assert.equal(place.lines().length, 1);
  });
});
