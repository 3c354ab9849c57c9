/**
 * Does what a config file says, within one transaction: all of it or none. Whatever stands against
 * it is told at once, each with its place in the file.
 */
import type { FieldProblem } from '@dbbouncer/shared/contract/explain.ts';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { placeInFile } from '@dbbouncer/shared/settings/config-file.ts';
import type { ConfigFile } from '@dbbouncer/shared/settings/config-file.ts';
import { problemAt } from '@dbbouncer/shared/settings/config-problems.ts';
import type { PlacedProblem } from '@dbbouncer/shared/settings/config-problems.ts';
import type { ConfigCommand, WorkScope } from '../commands/commands.ts';
import { isServerCommand, serverNameOf } from '../domain/server/commands.ts';
import { tenantIdOf } from '../domain/tenant/commands.ts';
import type { EventMeta } from '../store/event.ts';
import type { EventReader } from '../store/event-store.ts';
import type { TenantReader, TenantView } from '../store/read-models.ts';
import { lastWordsIn } from './last-words.ts';
import { planChanges } from './plan.ts';
import type { Plan, PlanScope, Secrets } from './plan.ts';

export interface CarryOutOptions {
  readonly log: Pick<EventReader, 'readStream'>;
  readonly secrets: Secrets;
  readonly scope: PlanScope;
  readonly meta: EventMeta;
}

/** The file is right by itself, and cannot be done as things are. */
export class FileRefused extends Error {
  override readonly name = 'FileRefused';
  readonly problems: readonly PlacedProblem[];

  constructor(problems: readonly PlacedProblem[]) {
    super(problems.map(({ path, message }) => `${path} ${message}`).join('\n'));
    this.problems = problems;
  }
}

const PAGE_TENANTS = 1_000;

/** @throws FileRefused; what `secrets` and the store throw */
export function carryOut(work: WorkScope, file: ConfigFile, options: CarryOutOptions): Plan {
  const { log, secrets, scope, meta } = options;
  const present = {
    defaults: work.tenants.getDefaults().defaults,
    servers: work.tenants.servers.list(),
    tenants: allTenants(work.tenants),
    lastWords: lastWordsIn(log),
  };
  const plan = planChanges(file, present, secrets, scope);
  if (plan.conflicts.length > 0) {
    refuse(
      file,
      plan.conflicts.map(({ id, message }) => problemAt(['tenants', id], message)),
    );
  }
  if (file.says === 'nothing' && plan.commands.length > 0) refuse(file, [problemAt([], EMPTY)]);
  for (const section of ['tenant', 'server'] as const) {
    const isAbsent = file[`${section}Section`] === 'absent';
    if (isAbsent && plan.commands.some(({ kind }) => kind === `remove_${section}`)) {
      refuse(file, [problemAt([], nothingOf(section))]);
    }
  }
  const refusals = plan.commands.flatMap((command) => refusalOf(work, command, meta));
  if (refusals.length > 0) refuse(file, refusals);
  return plan;
}

/** Nor does a file that says nothing take the defaults back. */
export const EMPTY = 'it is empty; to remove its tenants, write "tenants: {}"';

/** What is left of a file that is being written would else take every tenant out of service. */
function nothingOf(section: 'tenant' | 'server'): string {
  const registered = section === 'tenant' ? 'registered' : 'declared';
  return (
    `it has no ${section}s, though some are ${registered} by it; to remove them, write` +
    ` "${section}s: {}"`
  );
}

function refuse(file: ConfigFile, problems: readonly FieldProblem[]): never {
  throw new FileRefused(placeInFile(file, problems));
}

function refusalOf(
  work: WorkScope,
  command: ConfigCommand,
  meta: EventMeta,
): readonly FieldProblem[] {
  try {
    // What the file says holds, whatever is being tried.
    work.handle(command, { ...meta, whileCanary: 'end' });
    return [];
  } catch (error) {
    if (!(error instanceof AppError) || error.kind !== 'client') throw error;
    return [problemAt(placeOf(command), error.message)];
  }
}

function placeOf(command: ConfigCommand): readonly string[] {
  if (command.kind === 'set_defaults') return ['defaults'];
  if (isServerCommand(command)) return ['servers', serverNameOf(command)];
  return ['tenants', tenantIdOf(command)];
}

function* allTenants(reader: TenantReader): Iterable<TenantView> {
  let after: string | undefined;
  do {
    const page = reader.listTenants({ after, limit: PAGE_TENANTS });
    yield* page.tenants;
    after = page.next;
  } while (after !== undefined);
}
