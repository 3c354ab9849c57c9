/**
 * The command line of DBBouncer: from arguments to an exit code. Owns: which action a command runs,
 * and that every failure ends as a line of text and a code. Leaves: flags and help to program.ts,
 * the work to run-planes.ts and demo/demo.ts, loaded when needed.
 */
import { readFileSync } from 'node:fs';
import { CommanderError } from 'commander';
import { readConfigFile } from '@dbbouncer/shared/settings/config-file.ts';
import { formatProblemsForPeople } from '@dbbouncer/shared/settings/config-problems.ts';
import { EXIT, exitCodeOf, failureText } from './exit.ts';
import { keptAlive } from './kept-alive.ts';
import { createProgram } from './program.ts';
import type { Actions } from './program.ts';

const env = process.env;
const cwd = process.cwd();

/** Runs the command in `process.argv` and ends the process when it is done. */
export async function main(): Promise<void> {
  // A reader that went away, as in `dbbouncer --help | head`, is no reason to fail.
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
  const version = readVersion();
  try {
    const program = createProgram(actionsOf(version), version);
    if (process.argv.length <= 2) program.help({ error: true });
    await keptAlive(program.parseAsync());
  } catch (error) {
    process.exit(explain(error));
  }
}

function actionsOf(version: string): Actions {
  return {
    async up(flags) {
      const { runUp } = await import('./run-planes.ts');
      await runUp({ flags, env, cwd, version });
    },
    async controlPlane(flags) {
      const { runControlPlane } = await import('./run-planes.ts');
      await runControlPlane({ flags, env, cwd, version });
    },
    async proxy(flags) {
      const { runProxy } = await import('./run-planes.ts');
      await runProxy({ flags, env, cwd, version });
    },
    async demo(options) {
      const { runDemo } = await import('./demo/demo.ts');
      await runDemo(options, version);
    },
    async verify(flags) {
      const { runVerify } = await import('./log-commands.ts');
      process.exitCode = await runVerify({ flags, env, cwd });
    },
    async replay(flags, options) {
      const { runReplay } = await import('./log-commands.ts');
      process.exitCode = runReplay({ flags, env, cwd }, options);
    },
    async backup(flags, file) {
      const { runBackup } = await import('./log-commands.ts');
      process.exitCode = runBackup({ flags, env, cwd }, file);
    },
    async restore(flags, file) {
      const { runRestore } = await import('./log-commands.ts');
      process.exitCode = await runRestore({ flags, env, cwd }, file);
    },
    async rebuild(options) {
      const { runRebuild } = await import('./rebuild.ts');
      await runRebuild(options, env);
    },
    async configExport(flags, options) {
      const { runExport } = await import('./config-export.ts');
      await runExport({ flags, env, cwd }, options);
    },
    async importPgbouncer(file, options) {
      const { runPgbouncerImport } = await import('./config-import.ts');
      process.exitCode = await runPgbouncerImport({ env, cwd }, file, options);
    },
    async importCsv(file, options) {
      const { runCsvImport } = await import('./config-import.ts');
      process.exitCode = await runCsvImport({ env, cwd }, file, options);
    },
    async natsGrants(plane, proxyId) {
      const { runNatsGrants } = await import('./security-commands.ts');
      runNatsGrants(plane, proxyId);
    },
    async publicKey(flags) {
      const { runPublicKey } = await import('./security-commands.ts');
      runPublicKey({ flags, env, cwd });
    },
    configCheck(file) {
      const reading = readConfigFile(file, (name) => env[name]);
      if (reading.outcome === 'ok') {
        process.stdout.write(`${file}: no problem found\n`);
        return;
      }
      process.stderr.write(`${formatProblemsForPeople(file, reading.problems).join('\n')}\n`);
      process.exitCode = EXIT.failure;
    },
  };
}

/** Writes what went wrong, unless the parser has, and returns the exit code. */
function explain(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  process.stderr.write(`${failureText(error)}\n`);
  return exitCodeOf(error);
}

function readVersion(): string {
  const file = new URL('../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
