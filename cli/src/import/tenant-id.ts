/** The id of a tenant that was called otherwise. Pure. */
import { isTenantId } from '@dbbouncer/shared/kernel/ids.ts';

const CHARS_MAX = 63;

/** The name itself where it is an id; else what comes near it; nothing when nothing does. */
export function tenantIdFor(name: string): string | undefined {
  if (isTenantId(name)) return name;
  const near = name
    .normalize('NFKD')
    .replaceAll(/[^A-Za-z0-9_-]+/g, '-')
    .replaceAll(/_{2,}/g, '_')
    .replace(/^[_-]+/, '')
    .slice(0, CHARS_MAX)
    .replace(/[_-]+$/, '');
  return isTenantId(near) ? near : undefined;
}
