/**
 * The commands of README.md as they stand there, in order, in a checkout of their own; only the
 * ports are others. A line "# → text" says what standard output must hold next.
 * Whatever a block leaves running ends with its process group.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { freePort } from '@dbbouncer/cli/demo/ports.ts';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { readDocument, section } from '../architecture/markdown.ts';
import { ROOT } from '../architecture/source-tree.ts';
import { scratchOfTest } from '../support/scratch.ts';

const SUPERUSER_PASSWORD = 'of the superuser';
const IN_A_CHECKOUT = ['package.json', 'node_modules', 'shared', 'control-plane', 'data-plane'];
const SECTION_LIMIT_MS = 90_000;
/** Of the README: servers that are started, and where each says that it is ready. */
const SERVERS: readonly (readonly [command: RegExp, port: number])[] = [
  [/npm start|dbbouncer control-plane/, 8080],
  [/npm start|dbbouncer proxy/, 9090],
  [/--metrics-port 9091/, 9091],
];

const readme = readDocument('README.md');
const ports = new Map<string, number>();
let cluster: PostgresCluster;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: SUPERUSER_PASSWORD });
  ports.set('5432', cluster.port);
  for (const port of ['6432', '6433', '8080', '9090', '9091', '4222']) {
    ports.set(port, await freePort('127.0.0.1'));
  }
});
after(() => cluster.remove());

describe('README.md', () => {
  it('has a quick start that works as it is written', async () => {
    const output = await run('Quick start');
    holdsInOrder(output, promised('Quick start'));
  });

  it('has separate processes over NATS that work as they are written', async () => {
    const output = await run('Separate processes over NATS');
    holdsInOrder(output, promised('Separate processes over NATS'));
  });

  it('lists the routes of the API, each once', async () => {
    const { stdout } = await bash(await checkout(), DESCRIBE_API);
    const { paths } = JSON.parse(stdout) as { paths: Record<string, Record<string, unknown>> };
    const routes = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const table = section(readme, 'REST API')
      .split('\n')
      .filter((line) => line.startsWith('| `'));
    const listed = table.flatMap((row) =>
      Array.from(row.split(' | ')[0]?.matchAll(/`([A-Z]+ [^`?]+)/g) ?? [], ([, route]) => route),
    );
    const ofTheDescription = ['GET /docs', 'GET /openapi.json'];
    assert.deepEqual(new Set(listed), new Set([...routes, ...ofTheDescription]));
    assert.equal(new Set(listed).size, listed.length);
  });
});

const DESCRIBE_API = `
npm start >up.log 2>&1 &
${readiness(8080)}
curl -sS http://localhost:8080/openapi.json
`;

/** The shell blocks of a section, run as one script. @returns standard output. */
async function run(heading: string): Promise<string> {
  const script = blocksOf(heading).map(asStep).join('\n');
  const { stdout, code, told } = await bash(await checkout(), script);
  assert.equal(code, 0, told);
  return stdout;
}

function blocksOf(heading: string): readonly string[] {
  const blocks = section(readme, heading).matchAll(/^```sh\n([^]*?)^```$/gm);
  return Array.from(blocks, ([, text = '']) => text);
}

/** A block that starts servers does not end; what follows it in the README is for when they run. */
function asStep(block: string): string {
  const started = SERVERS.filter(([command]) => command.test(block));
  if (started.length === 0) return block;
  const begun = /&\s*$/.test(block) ? block : `{ ${block.trim()}; } >server.log 2>&1 &\n`;
  return begun + started.map(([, port]) => readiness(port)).join('\n');
}

function readiness(port: number): string {
  return `until curl -sf http://localhost:${port}/ready >ready.json; do sleep 0.2; done`;
}

function promised(heading: string): readonly string[] {
  const lines = blocksOf(heading)
    .join('')
    .matchAll(/^# → (.+)$/gm);
  const texts = Array.from(lines, ([, text = '']) => withPorts(text));
  assert.ok(texts.length >= 4, `${heading}: ${texts.length} answers`);
  return texts;
}

function holdsInOrder(output: string, texts: readonly string[]): void {
  let from = 0;
  for (const text of texts) {
    const at = output.indexOf(text, from);
    assert.ok(at >= 0, `"${text}" is not in the rest of the output:\n${output.slice(from)}`);
    from = at + text.length;
  }
}

/** A folder in which the commands find what they find in a checkout, and no data yet. */
async function checkout(): Promise<string> {
  const { path } = await scratchOfTest();
  const folder = join(path, `checkout-${(checkoutsMade += 1)}`);
  mkdirSync(folder);
  for (const name of [...IN_A_CHECKOUT, 'cli', 'migrations']) {
    symlinkSync(join(ROOT, name), join(folder, name));
  }
  return folder;
}

let checkoutsMade = 0;

function withPorts(text: string): string {
  return text.replaceAll(/\b(5432|6432|6433|8080|9090|9091|4222)\b/g, (port) =>
    String(ports.get(port) ?? port),
  );
}

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  /** Everything that was written, for an error. */
  readonly told: string;
}

/** Runs a script to its end, with other ports, and ends what it has left running. */
async function bash(folder: string, script: string): Promise<Run> {
  const child = spawn('bash', ['-euo', 'pipefail', '-c', withPorts(script)], {
    cwd: folder,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      HOME: folder,
      PGPASSWORD: SUPERUSER_PASSWORD,
      DBBOUNCER_API_PORT: withPorts('8080'),
      DBBOUNCER_POSTGRES_PORT: withPorts('6432'),
      DBBOUNCER_METRICS_PORT: withPorts('9090'),
    },
  });
  const group = -(child.pid ?? Number.NaN);
  const scratch = await scratchOfTest();
  scratch.guard(group);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const closed = once(child, 'close');
  const limit = setTimeout(() => process.kill(group, 'SIGKILL'), SECTION_LIMIT_MS);
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  clearTimeout(limit);
  await endGroup(group);
  // What the servers inherited is closed now, and all that was written is read.
  await closed;
  scratch.forget(group);
  return { code, stdout, told: `${stdout}\n${stderr}` };
}

/** Resolves when no process of the group is left. */
async function endGroup(group: number): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      process.kill(group, tries < 50 ? 'SIGTERM' : 'SIGKILL');
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
