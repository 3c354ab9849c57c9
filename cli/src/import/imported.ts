/** What an import makes of a file of others, before it is written or applied. */
import type { WrittenTenant } from '@dbbouncer/shared/contract/written-tenant.ts';
import type { Spot } from './findings.ts';

export interface Imported {
  /** The name of the file it was, for people. */
  readonly source: string;
  /** Settings of the process, as they nest in a config file. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly defaults: WrittenTenant;
  readonly tenants: ReadonlyMap<string, { readonly tenant: WrittenTenant; readonly spot: Spot }>;
}
