/**
 * What was imported as a config file, its notes as comments at the head; looked at once as a config
 * file is, so that nothing is printed that would be refused.
 */
import { parseConfigFile } from '@dbbouncer/shared/settings/config-file.ts';
import { configFileText } from '@dbbouncer/shared/settings/config-text.ts';
import type { Findings } from './findings.ts';
import { formatNotes } from './findings.ts';
import type { Imported } from './imported.ts';

/** What it says where a problem is of a tenant is told with the place the tenant came from. */
export function fileOfImport(imported: Imported, findings: Findings): string {
  const { source, settings, defaults, tenants } = imported;
  const written = Object.fromEntries(Array.from(tenants, ([id, { tenant }]) => [id, tenant]));
  const notes = formatNotes(findings.notes);
  const head = [
    `Imported from ${source}: ${tenants.size} tenants.`,
    'Passwords stand in it as they were written there: keep it from others.',
    ...(notes.length > 0 ? ['', ...notes] : []),
  ];
  const content = { head, settings, defaults, servers: {}, tenants: written };
  const text = Array.from(configFileText(content)).join('');
  const reading = parseConfigFile(text, source, () => '');
  if (reading.outcome === 'ok') return text;
  for (const { path, message } of reading.problems) {
    const id = /^tenants\.([^.[]+)/.exec(path)?.[1] ?? '';
    const spot = tenants.get(id)?.spot ?? { file: source, line: 1 };
    findings.fault(spot, `would make ${path} ${message}`);
  }
  return text;
}
