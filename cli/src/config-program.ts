/**
 * The commands on config files, their flags and their help: a part of program.ts.
 */
import type { Command } from 'commander';
import type { Flags } from '@dbbouncer/shared/settings/resolve.ts';
import type { ExportOptions } from './config-export.ts';
import type { CsvOptions, ImportOptions, PgbouncerOptions } from './config-import.ts';

export interface ConfigActions {
  configCheck(file: string): void;
  configExport(flags: Flags, options: ExportOptions): Promise<void>;
  importPgbouncer(file: string, options: PgbouncerOptions): Promise<void>;
  importCsv(file: string, options: CsvOptions): Promise<void>;
}

type AddFlags = (command: Command, ...names: readonly ('config' | 'dataDir')[]) => Command;

const EXAMPLES = {
  check: `
Prints every problem as file:line:column with the line it is in, and ends with 1, or ends with 0
when there is none.

Example:
  dbbouncer config check dbbouncer.yaml
`,
  export: `
Prints a config file that leads to the same tenants and defaults, as they are now or were at a
position or time. Sealed passwords are not in it: variables stand for them, which a comment lists.
From a data folder, --sealed writes them as they are sealed, for a control plane with the same
master key; --reveal-secrets writes them in clear.

Examples:
  DBBOUNCER_API_KEY=... dbbouncer config export --api http://localhost:8080 -o dbbouncer.yaml
  dbbouncer config export --data-dir /var/lib/dbbouncer --at 2026-01-31T12:00:00Z
  dbbouncer config export --data-dir /var/lib/dbbouncer --sealed -o dbbouncer.yaml
`,
  importPgbouncer: `
Prints a config file of ours that does what FILE does: databases become tenants, users their users,
settings ours. Where PgBouncer's defaults are others, they are written down. What cannot be taken
over is told with its line, here and at the head of the file. With --apply, the tenants are
registered through the REST API; all are rehearsed before the first is.

Examples:
  dbbouncer config import pgbouncer /etc/pgbouncer/pgbouncer.ini -o dbbouncer.yaml
  dbbouncer config import pgbouncer pgbouncer.ini --userlist userlist.txt
  dbbouncer config import pgbouncer pgbouncer.ini --apply --dry-run --api http://localhost:8080
`,
  importCsv: `
The first line names the columns, which are the fields of a tenant: id, host, dbname, username and
password at least. An empty value is none; users, access, server_tls and auth_query are JSON;
databases are a list in JSON, or names with ";" between them.

Examples:
  dbbouncer config import csv tenants.csv -o dbbouncer.yaml
  dbbouncer config import csv tenants.csv --apply --api http://localhost:8080
`,
};

/** Adds `config` and what belongs to it. */
export function addConfigCommands(
  program: Command,
  actions: ConfigActions,
  addFlags: AddFlags,
): void {
  const config = program.command('config').description('work with config files');
  config
    .command('check')
    .argument('<file>', 'config file in YAML')
    .description('tell every mistake in a config file')
    .addHelpText('after', EXAMPLES.check)
    .action((file: string) => actions.configCheck(file));
  addApiFlags(
    addFlags(
      config
        .command('export')
        .description('print the tenants and defaults as a config file')
        .allowExcessArguments(false),
      'config',
      'dataDir',
    ),
  )
    .option('--at <WHEN>', 'a position, or a time with its offset (default: now)')
    .option('--sealed', 'passwords as they are sealed; needs a data folder')
    .option('--reveal-secrets', 'passwords in clear; needs a data folder and its master key')
    .option('-o, --output <FILE>', 'where to; must not exist (default: standard output)')
    .addHelpText('after', EXAMPLES.export)
    .action(({ config: file, dataDir, ...options }: Flags & ExportOptions) =>
      actions.configExport({ config: file, dataDir }, options),
    );
  addImports(config, actions);
}

function addImports(config: Command, actions: ConfigActions): void {
  const command = config.command('import').description('make a config file of files of others');
  addImportFlags(
    command
      .command('pgbouncer')
      .argument('<file>', 'pgbouncer.ini')
      .description('a pgbouncer.ini, with its userlist.txt')
      .option('--userlist <FILE>', 'in the place of the one that auth_file names'),
  )
    .addHelpText('after', EXAMPLES.importPgbouncer)
    .action((file: string, options: PgbouncerOptions) => actions.importPgbouncer(file, options));
  addImportFlags(
    command
      .command('csv')
      .argument('<file>', 'CSV as of RFC 4180, with a head')
      .description('tenants, one in each line')
      .option('--delimiter <CHARACTER>', 'what stands between two values', ','),
  )
    .addHelpText('after', EXAMPLES.importCsv)
    .action((file: string, options: ImportOptions & CsvOptions) =>
      actions.importCsv(file, options),
    );
}

function addImportFlags(command: Command): Command {
  return addApiFlags(command)
    .allowExcessArguments(false)
    .option('--apply', 'register the tenants through the REST API')
    .option('--dry-run', 'with --apply: rehearse alone')
    .option('-o, --output <FILE>', 'where to; must not exist (default: standard output)');
}

function addApiFlags(command: Command): Command {
  return command
    .option('--api <URL>', 'REST API of a running control plane')
    .option('--api-key-file <FILE>', 'file with an API key (default: DBBOUNCER_API_KEY holds it)');
}
