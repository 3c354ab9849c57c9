/**
 * The commands that set up who may say what on NATS, their flags and their help: a part of
 * program.ts.
 */
import { Argument } from 'commander';
import type { Command } from 'commander';
import type { Flags } from '@dbbouncer/shared/settings/resolve.ts';

export interface SecurityActions {
  natsGrants(plane: NatsPlane, proxyId: string): Promise<void>;
  publicKey(flags: Flags): Promise<void>;
}

export type NatsPlane = 'control-plane' | 'proxy';

type AddFlags = (command: Command, ...names: readonly ('config' | 'dataDir')[]) => Command;

const EXAMPLES = {
  natsGrants: `
Prints the permissions of a NATS user, as they stand in nats.conf: what the plane needs and no more.
Give each proxy a user of its own, and it can report as itself alone.

Examples:
  dbbouncer nats-grants control-plane
  dbbouncer nats-grants proxy --proxy-id eu-1
`,
  publicKey: `
Prints the public half of the key that a control plane with these settings signs the config with,
derived from the master key or read from config_signing_key_file; for config_public_keys_file.

Example:
  dbbouncer public-key --data-dir /var/lib/dbbouncer >> config-public.pem
`,
};

/** Adds them to `program`. */
export function addSecurityCommands(
  program: Command,
  actions: SecurityActions,
  addFlags: AddFlags,
): void {
  program
    .command('nats-grants')
    .addArgument(new Argument('<plane>', 'whose').choices(['control-plane', 'proxy']))
    .description('print what a NATS user of a plane may do')
    .option('--proxy-id <ID>', 'of the proxy whose user it is (default: of all)', '*')
    .allowExcessArguments(false)
    .addHelpText('after', EXAMPLES.natsGrants)
    .action((plane: NatsPlane, { proxyId }: { readonly proxyId: string }) =>
      actions.natsGrants(plane, proxyId),
    );
  addFlags(
    program
      .command('public-key')
      .description('print the public key that signatures of the config are checked with')
      .allowExcessArguments(false),
    'config',
    'dataDir',
  )
    .addHelpText('after', EXAMPLES.publicKey)
    .action((flags: Flags) => actions.publicKey(flags));
}
