/**
 * The commands on an event log, their flags and their help: a part of program.ts.
 */
import { Option } from 'commander';
import type { Command } from 'commander';
import type { Flags } from '@dbbouncer/shared/settings/resolve.ts';
import type { ReplayOptions } from './log-commands.ts';
import type { RebuildOptions } from './rebuild.ts';

export interface LogActions {
  verify(flags: Flags): Promise<void>;
  replay(flags: Flags, options: ReplayOptions): Promise<void>;
  backup(flags: Flags, file: string): Promise<void>;
  restore(flags: Flags, file?: string): Promise<void>;
  rebuild(options: RebuildOptions): Promise<void>;
}

/** Gives `command` the flags of these settings, as all commands have them. */
type AddFlags = (command: Command, ...names: readonly FlagName[]) => Command;
type FlagName = 'config' | 'dataDir' | (typeof NATS_FLAGS)[number];

const NATS_FLAGS = [
  'nats',
  'natsTlsCaFile',
  'natsTlsCertFile',
  'natsTlsKeyFile',
  'natsNkeyFile',
  'natsCredsFile',
] as const;

const EXAMPLES = {
  verify: `
Walks the log from the first event to the last, folds it beside the read models, and looks whether
indexes and triggers are there. Reads only, and works while a control plane runs. Ends with 1 and
the place of the first thing that is not as it was written. Where NATS is set, the events published
there are compared too. What no event says is not looked at: when keys were used, and answers kept
for repetitions.

Examples:
  dbbouncer verify --data-dir /var/lib/dbbouncer
  dbbouncer verify --data-dir /var/lib/dbbouncer --nats nats://nats:4222
`,
  replay: `
Prints tenants and defaults as they were; of sealed passwords it says only that they are.

Examples:
  dbbouncer replay --at 1200
  dbbouncer replay --at 2026-01-31T12:00:00Z --format json
  diff <(dbbouncer replay --at 1200) <(dbbouncer replay)
`,
  rebuild: `
Has a control plane that runs make what its queries see anew from the events, while everything else
goes on, and tells the first thing that was amiss. The log itself is not touched.

Example:
  DBBOUNCER_API_KEY=... dbbouncer rebuild --api http://localhost:8080
`,
  backup: `
Copies the event log while a control plane may write to it, and looks through the copy. FILE is
there only when it is complete; it is readable by its owner alone. The master key is not in it.

Example:
  dbbouncer backup --data-dir /var/lib/dbbouncer /backup/dbbouncer-$(date +%F).db
`,
  restore: `
Looks through FILE and makes it the event log of a data folder. Refuses a folder that has one, and
one in which a control plane runs. Without FILE, the events that were published on NATS are taken.

Examples:
  dbbouncer restore /backup/dbbouncer-2026-01-31.db --data-dir /var/lib/dbbouncer
  dbbouncer restore --nats nats://nats:4222 --data-dir /var/lib/dbbouncer
`,
};

/** Adds them to `program`. */
export function addLogCommands(program: Command, actions: LogActions, addFlags: AddFlags): void {
  const add = (name: string, description: string, help: string) =>
    program
      .command(name)
      .description(description)
      .allowExcessArguments(false)
      .addHelpText('after', help);

  addFlags(
    add('verify', 'tell whether the event log is as it was written', EXAMPLES.verify),
    'config',
    'dataDir',
    ...NATS_FLAGS,
  ).action((flags: Flags) => actions.verify(flags));

  const format = new Option('--format <FORMAT>', 'how to print it');
  addFlags(
    add('replay', 'print the config as it was at a position or time', EXAMPLES.replay)
      .option('--at <WHEN>', 'a position, or a time with its offset (default: now)')
      .addOption(format.choices(['yaml', 'json']).default('yaml')),
    'config',
    'dataDir',
  ).action(({ at, format, ...flags }: Flags & ReplayOptions) =>
    actions.replay(flags, { at, format }),
  );

  addFlags(
    add('backup', 'copy the event log, while it is in use', EXAMPLES.backup).argument(
      '<file>',
      'where to; must not exist',
    ),
    'config',
    'dataDir',
  ).action((file: string, flags: Flags) => actions.backup(flags, file));

  addFlags(
    add('restore', 'make a backup the event log of a data folder', EXAMPLES.restore).argument(
      '[file]',
      'made by dbbouncer backup',
    ),
    'config',
    'dataDir',
    ...NATS_FLAGS,
  ).action((file: string | undefined, flags: Flags) => actions.restore(flags, file));

  add('rebuild', 'make what queries see anew from the events', EXAMPLES.rebuild)
    .option('--api <URL>', 'REST API of a running control plane')
    .option('--api-key-file <FILE>', 'file with an API key (default: DBBOUNCER_API_KEY holds it)')
    .action((options: RebuildOptions) => actions.rebuild(options));
}
