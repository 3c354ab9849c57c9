/**
 * The commands on config files, their flags and their help: a part of program.ts.
 */
import type { Command } from 'commander';
import type { Flags } from '@dbbouncer/shared/settings/resolve.ts';
import type { ExportOptions } from './config-export.ts';

export interface ConfigActions {
  configCheck(file: string): void;
  configExport(flags: Flags, options: ExportOptions): Promise<void>;
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
}

function addApiFlags(command: Command): Command {
  return command
    .option('--api <URL>', 'REST API of a running control plane')
    .option('--api-key-file <FILE>', 'file with an API key (default: DBBOUNCER_API_KEY holds it)');
}
