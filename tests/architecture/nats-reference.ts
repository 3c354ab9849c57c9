/** The grants of NATS users, for deploy/nats.conf and docs/security.md. */
import {
  natsGrants,
  natsPermissionsText,
  SUBJECT_USES,
} from '@dbbouncer/shared/contract/nats-grants.ts';
import type { Plane, SubjectUse } from '@dbbouncer/shared/contract/nats-grants.ts';
import { code, markdownTable } from './document-parts.ts';

/** A part of nats.conf: what users of this plane may do, under a name. */
export function permissions(plane: Plane): string {
  const name = plane.toUpperCase();
  return `${name} = ${natsPermissionsText(natsGrants(plane), '  ').trim()}`;
}

export function grantsTable(): string {
  return markdownTable(
    ['Name', 'What for', 'Control plane', 'Proxy'],
    SUBJECT_USES.map((use) => [
      code(use.name.replace(/^(stream|objects|keys) /, '')),
      use.what + (use.name.includes(' ') ? ` (${use.name.split(' ')[0]})` : ''),
      granted(use, 'control_plane'),
      granted(use, 'proxy'),
    ]),
  );
}

function granted(use: SubjectUse, plane: Plane): string {
  const { publish, subscribe } = use.grants(plane, '<id>');
  const list = (word: string, subjects: readonly string[]) =>
    subjects.length === 0 ? [] : [`${word} ${subjects.map(code).join(' ')}`];
  return [...list('publish', publish), ...list('subscribe', subscribe)].join('; ');
}
