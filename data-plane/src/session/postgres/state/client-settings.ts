/**
 * The session parameters of one client, as they are between its transactions.
 * Owns: what the client started with and what it has set since. Leaves: what the lease under way
 * does to them to lease-effects.ts, giving them to a server connection to upstream/.
 */
import { EMPTY_VECTOR } from '../../../upstream/parameter-vector.ts';
import type { ParameterVector } from '../../../upstream/parameter-vector.ts';
import type { SettingChange } from '../sql/effects.ts';
import { changed } from './setting-changes.ts';

/** Whether server connections carry the names of their clients, or the proxy's own. */
export type ApplicationNames = 'pooled' | 'exact';

export class ClientSettings {
  readonly startup: ParameterVector;
  readonly applicationNames: ApplicationNames;
  /** What every server connection must have for this client. */
  vector: ParameterVector;

  constructor(startup: ParameterVector, applicationNames: ApplicationNames) {
    this.startup = startup;
    this.applicationNames = applicationNames;
    this.vector = startup;
  }

  /** What `change` makes of the client's parameters. */
  mineAfter(vector: ParameterVector, change: SettingChange): ParameterVector {
    const isOurs = change.kind === 'set' && change.name === 'application_name';
    if (isOurs && this.applicationNames === 'pooled') return vector;
    return changed(vector, change, this.startup);
  }

  /** What `change` makes of a server connection's parameters. */
  hereAfter(vector: ParameterVector, change: SettingChange): ParameterVector {
    return changed(vector, change, EMPTY_VECTOR);
  }
}
