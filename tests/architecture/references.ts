/** Which generated part stands in which document, and the document with all of them as of now. */
import { CONFIGURATION, METRICS, NATS_CONF, SECURITY, withPart } from './document-parts.ts';
import {
  controlPage,
  metricsTable,
  proxyPage,
  reasonTables,
  supervisorPage,
} from './metrics-reference.ts';
import { grantsTable, permissions } from './nats-reference.ts';
import { settingsTable, tenantFieldsTable } from './settings-reference.ts';

export const WRITE_COMMAND = 'node tests/architecture/write-references.ts';

/** By the path of the document: its parts by name. */
export async function references(): Promise<Readonly<Record<string, Record<string, string>>>> {
  return {
    [CONFIGURATION]: { settings: settingsTable(), 'tenant-fields': tenantFieldsTable() },
    [NATS_CONF]: {
      'control-plane': permissions('control_plane'),
      proxy: permissions('proxy'),
    },
    [SECURITY]: { grants: grantsTable() },
    [METRICS]: {
      proxy: metricsTable(await proxyPage()),
      supervisor: metricsTable(await supervisorPage()),
      'control-plane': metricsTable(await controlPage()),
      reasons: reasonTables(),
    },
  };
}

export function updated(document: string, parts: Readonly<Record<string, string>>): string {
  return Object.entries(parts).reduce((text, part) => withPart(text, ...part), document);
}
