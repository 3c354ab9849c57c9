/** Processes of end-to-end tests: told from ready, heard when they fail, and never left behind. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { DbbouncerProcess } from './dbbouncer-process.ts';
import { eventually } from './eventually.ts';
import { processesMentioning, Program } from './processes.ts';

const SCRIPT = `
  const { DbbouncerProcess } = await import('${import.meta.dirname}/dbbouncer-process.ts');
  const { startNatsServer } = await import('${import.meta.dirname}/nats-server.ts');
  await startNatsServer();
  const up = await DbbouncerProcess.start({ command: 'up' });
  console.log('folder ' + up.folder.split('/process-')[0]);
  setInterval(() => {}, 1000);
`;

describe('a dbbouncer process of a test', () => {
  it('is ready when start returns, and ends with 0 on SIGTERM', async () => {
    const up = await DbbouncerProcess.start({ command: 'up' });
    assert.equal((await fetch(`${up.apiUrl}/ready`)).status, 200);
    assert.equal((await fetch(`${up.metricsUrl}/ready`)).status, 200);
    await up.stop();
    await assert.rejects(fetch(`${up.apiUrl}/ready`));
  });

  it('keeps its ports and data over kill and start', async () => {
    const up = await DbbouncerProcess.start({ command: 'up' });
    const { apiUrl, metricsUrl, postgresPort, dataDir } = up;
    await up.kill();
    await up.start();
    assert.deepEqual(
      [up.apiUrl, up.metricsUrl, up.postgresPort, up.dataDir],
      [apiUrl, metricsUrl, postgresPort, dataDir],
    );
    assert.match(up.log, /"sealedWith"[^]*-- ended[^]*"sealedWith"/, 'the logs of both lives');
    await up.stop();
  });

  it('fails to start with what the process said', async () => {
    const prepare = (folder: string) => writeFile(join(folder, 'dbbouncer.yaml'), 'tenants: 7\n');
    const started = DbbouncerProcess.start({ command: 'up', prepare });
    await assert.rejects(started, /ended with code 2 [^]*dbbouncer\.yaml:1:\d+: tenants must be/);
  });
});

for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
  describe(`a test process that ends by ${signal}`, () => {
    it('leaves no process behind', async () => {
      const test = new Program(process.execPath, ['--input-type=module', '-e', SCRIPT]);
      const [, folder = ''] = await test.says(/^folder (\S+)$/m);
      const commands = processesMentioning(folder).join('\n');
      assert.match(commands, /dbbouncer\.mjs up/);
      assert.match(commands, /nats-server -js/);
      test.signal(signal);
      assert.equal((await test.ended()).signal, signal);
      await eventually('all have ended', () => processesMentioning(folder).length === 0);
    });
  });
}
