/**
 * The commands, their flags and their help. It parses; what a command does is handed in as
 * `Actions`. Flags of settings come from the one list of settings, so that a new setting needs
 * nothing here.
 */
import { Command, Option } from 'commander';
import type { Flags } from '@dbbouncer/shared/settings/resolve.ts';
import { settingsFlags } from '@dbbouncer/shared/settings/setting-list.ts';
import type { SettingDescription } from '@dbbouncer/shared/settings/setting-list.ts';
import { addConfigCommands } from './config-program.ts';
import type { ConfigActions } from './config-program.ts';
import { addLogCommands } from './log-program.ts';
import type { LogActions } from './log-program.ts';
import { addSecurityCommands } from './security-program.ts';
import type { SecurityActions } from './security-program.ts';

export interface DemoOptions {
  readonly flags: Flags;
  /** Of each tenant; as typed. */
  readonly clients: string;
}

export interface Actions extends LogActions, ConfigActions, SecurityActions {
  up(flags: Flags): Promise<void>;
  controlPlane(flags: Flags): Promise<void>;
  proxy(flags: Flags): Promise<void>;
  demo(options: DemoOptions): Promise<void>;
}

type FlagName = SettingDescription['name'];

const ONLY_CONTROL_PLANE: readonly FlagName[] = ['apiPort'];
const ONLY_PROXY: readonly FlagName[] = [
  'postgresPort',
  'mysqlPort',
  'metricsPort',
  'workers',
  'proxyId',
];
/** The settings of the demo; it takes nothing from the environment or a config file. */
const DEMO_DEFAULTS: Readonly<Partial<Record<FlagName, string>>> = {
  host: '127.0.0.1',
  apiPort: '8080 if free',
  postgresPort: '6432 if free',
  metricsPort: '9090 if free',
  logLevel: 'warn',
};

const SOURCES = `
Every flag can also be given as the environment variable in its line, or in the config file; a flag
wins over the variable, the variable over the file. Settings without a flag, such as keys and TLS:
  ${settingsFlags
    .filter(({ flag }) => flag === undefined)
    .map(({ env }) => env)
    .reduce((lines, name, index) => lines + (index % 2 === 0 ? '\n  ' : '  ') + name.padEnd(44), '')
    .trim()}
`;

const EXAMPLES = {
  program: `
Start here:
  dbbouncer demo                 two tenants on a PostgreSQL of its own, to look around
  dbbouncer up                   control plane and proxy in one process, data in ./data
  dbbouncer COMMAND --help       flags and examples of a command
`,
  up: `
Examples:
  dbbouncer up
  dbbouncer up --config prod.yaml --data-dir /var/lib/dbbouncer
  DBBOUNCER_API_KEY=... dbbouncer up --postgres-port 5432
`,
  controlPlane: `
Examples:
  dbbouncer control-plane --nats nats://nats:4222 --data-dir /var/lib/dbbouncer
  dbbouncer control-plane --nats tls://control:secret@nats-1:4222,tls://control:secret@nats-2:4222
`,
  proxy: `
Examples:
  dbbouncer proxy --nats nats://nats:4222 --data-dir /var/lib/dbbouncer-proxy
  DBBOUNCER_MASTER_KEY=... dbbouncer proxy --nats nats://nats:4222 --proxy-id eu-1
`,
  demo: `
Nothing is kept: it works in a temporary folder, which is deleted when it ends (Ctrl-C).
`,
};

/** A parser that throws CommanderError instead of ending the process. */
export function createProgram(actions: Actions, version: string): Command {
  const program = new Command('dbbouncer')
    .description(
      'A connection pooler for applications with one database per tenant: clients connect to one' +
        ' port and are routed to the database of their tenant over a few shared connections.',
    )
    .addHelpText('after', EXAMPLES.program)
    .exitOverride()
    .showHelpAfterError('(add --help for the commands and flags)')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, PREFIX)) })
    .enablePositionalOptions();

  runningCommand(program, 'up', 'run control plane and proxy in one process')
    .addHelpText('after', EXAMPLES.up + SOURCES)
    .action((flags: Flags) => actions.up(flags));
  runningCommand(program, 'control-plane', 'run the control plane alone: REST API and event log', {
    without: ONLY_PROXY,
  })
    .addHelpText('after', EXAMPLES.controlPlane + SOURCES)
    .action((flags: Flags) => actions.controlPlane(flags));
  runningCommand(program, 'proxy', 'run one proxy, which follows a control plane over NATS', {
    without: ONLY_CONTROL_PLANE,
  })
    .addHelpText('after', EXAMPLES.proxy + SOURCES)
    .action((flags: Flags) => actions.proxy(flags));
  addDemo(program, actions);
  addConfigCommands(program, actions, addFlags);
  addLogCommands(program, actions, addFlags);
  addSecurityCommands(program, actions, addFlags);
  program
    .command('version')
    .description('print the version')
    .action(() => {
      process.stdout.write(`${version}\n`);
    });
  program.version(version, '-V, --version', 'print the version');
  return program;
}

const PREFIX = 'dbbouncer: ';

function runningCommand(
  program: Command,
  name: string,
  description: string,
  { without = [] }: { readonly without?: readonly FlagName[] } = {},
): Command {
  const command = program.command(name).description(description).allowExcessArguments(false);
  for (const setting of settingsFlags) {
    if (!without.includes(setting.name)) addSettingOption(command, setting);
  }
  return command;
}

/** The flags of these settings, and no others. */
function addFlags(command: Command, ...names: readonly FlagName[]): Command {
  for (const setting of settingsFlags) {
    if (names.includes(setting.name)) addSettingOption(command, setting);
  }
  return command;
}

function addDemo(program: Command, actions: Actions): void {
  const command = program
    .command('demo')
    .description('run everything with a PostgreSQL of its own, two tenants and a small load')
    .allowExcessArguments(false)
    .option('--clients <N>', 'clients that the load runs for each tenant; 0: no load', '10')
    .addHelpText('after', EXAMPLES.demo);
  for (const { name, flag, argument, description } of settingsFlags) {
    const initial = DEMO_DEFAULTS[name];
    if (initial === undefined || flag === undefined) continue;
    const text = `${description} (default ${initial})`;
    command.addOption(new Option(`${flag} <${argument ?? 'VALUE'}>`, text));
  }
  command.action(({ clients, ...flags }: Flags & { readonly clients: string }) =>
    actions.demo({ flags, clients }),
  );
}

/**
 * The texts are checked with the variables and the config file, all at once: here they stay texts.
 */
function addSettingOption(command: Command, setting: SettingDescription): void {
  if (setting.flag === undefined) return;
  const argument = setting.argument === undefined ? '' : ` <${setting.argument}>`;
  const initial = setting.default === undefined ? '' : `default ${setting.default}, `;
  const text = `${setting.description} (${initial}${setting.env})`;
  command.addOption(new Option(`${setting.flag}${argument}`, text));
}
