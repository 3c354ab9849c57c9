/** What a log line looks like, and that fields named like secrets do not get through. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Logger, LogLevel } from '../kernel/log.ts';
import { createPinoLogger } from './pino-logger.ts';

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
