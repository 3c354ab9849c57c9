/**
 * What each plane does with each stream, bucket and subject, and so what its NATS user has to be
 * allowed and no more. The compiler asks for a line about every name in subjects.ts;
 * deploy/nats.conf and docs/security.md are written from here.
 * Source: NATS documentation, "Authorization", "JetStream API"; ADR-17, ADR-20, ADR-8.
 */
import type { ProxyId } from '../kernel/ids.ts';
import { SUBJECTS } from './subjects.ts';

export type Plane = 'control_plane' | 'proxy';

/** Subjects a NATS user may publish to and subscribe to. Answers to requests are besides. */
export interface NatsGrants {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

export interface SubjectUse {
  /** The name, with `<id>` for a proxy's own. */
  readonly name: string;
  readonly what: string;
  /** @param proxy an id, or `*` where proxies share a user */
  grants(plane: Plane, proxy: string): NatsGrants;
}

/** Who speaks or listens: a proxy on its own subject, or on those of all. */
type Side = 'control_plane' | 'proxy_own' | 'proxy_any';
type Name = (proxy: ProxyId) => string;

const NOTHING: NatsGrants = Object.freeze({ publish: [], subscribe: [] });
const plain = (name: string) => () => name;

/** By the key in `SUBJECTS`; nothing for a name that stands within another. */
const USES: Readonly<Record<keyof typeof SUBJECTS, SubjectUse | 'within_another'>> = Object.freeze({
  configStream: stream(SUBJECTS.configStream, 'Config deltas, which proxies follow', [
    'control_plane',
    'proxy',
  ]),
  configDelta: subject(plain(SUBJECTS.configDelta), 'Writes a delta', ['control_plane'], []),
  eventStream: stream(SUBJECTS.eventStream, 'All events, which control planes follow', [
    'control_plane',
  ]),
  event: subject(plain(SUBJECTS.event), 'Writes an event', ['control_plane'], []),
  leaderBucket: keys(SUBJECTS.leaderBucket, 'Which of several control planes leads'),
  leaseKey: 'within_another',
  snapshotBucket: objects(SUBJECTS.snapshotBucket, 'The whole config, which proxies start with', [
    'control_plane',
    'proxy',
  ]),
  snapshotObject: 'within_another',
  snapshotRequest: subject(
    plain(SUBJECTS.snapshotRequest),
    'Asks for a new snapshot',
    ['proxy_any'],
    ['control_plane'],
  ),
  reports: 'within_another',
  report: subject(
    SUBJECTS.report,
    'What a proxy tells about itself',
    ['proxy_own'],
    ['control_plane'],
  ),
  clients: subject(
    SUBJECTS.clients,
    'Has a proxy tell who its clients are, or end one',
    ['control_plane'],
    ['proxy_own'],
  ),
  probe: subject(SUBJECTS.probe, 'Has a proxy try a server', ['control_plane'], ['proxy_own']),
  fleetBucket: keys(SUBJECTS.fleetBucket, 'Who belongs to the fleet'),
  fleetKey: 'within_another',
  budgetNeeds: 'within_another',
  budgetNeedsOf: subject(
    SUBJECTS.budgetNeedsOf,
    'What a proxy needs of the budget of its fleet',
    ['proxy_own'],
    ['control_plane'],
  ),
  budgetGrant: subject(
    SUBJECTS.budgetGrant,
    'Grants a proxy its part of it',
    ['control_plane'],
    ['proxy_own'],
  ),
  budgetLook: subject(
    SUBJECTS.budgetLook,
    'Has a proxy look for what a lost one has left',
    ['control_plane'],
    ['proxy_own'],
  ),
  cancel: subject(
    SUBJECTS.cancel,
    'Hands a cancel to the proxy of its session',
    ['proxy_any'],
    ['proxy_own'],
  ),
  cancelNumber: subject(
    () => SUBJECTS.cancelNumber('*' as never),
    'The same by the number in a short cancel key',
    ['proxy_any'],
    ['proxy_any'],
  ),
  controlPlaneInbox: inbox(SUBJECTS.controlPlaneInbox, 'control_plane'),
  proxyInbox: inbox(SUBJECTS.proxyInbox, 'proxy'),
});

/** Each use, in the order of subjects.ts. */
export const SUBJECT_USES: readonly SubjectUse[] = Object.values(USES).filter(
  (use) => use !== 'within_another',
);

/** All that the NATS user of a plane needs. @param proxy an id, or `*` for a user of all */
export function natsGrants(plane: Plane, proxy = '*'): NatsGrants {
  const all = SUBJECT_USES.map((use) => use.grants(plane, proxy));
  return {
    publish: all.flatMap(({ publish }) => publish),
    subscribe: all.flatMap(({ subscribe }) => subscribe),
  };
}

/** The permissions as nats.conf has them; each line begins with `indent`. */
export function natsPermissionsText({ publish, subscribe }: NatsGrants, indent = ''): string {
  const list = (subjects: readonly string[]) =>
    subjects.map((one) => `${indent}    "${one}"\n`).join('');
  return (
    `${indent}{\n` +
    `${indent}  publish: [\n${list(publish)}${indent}  ]\n` +
    `${indent}  subscribe: [\n${list(subscribe)}${indent}  ]\n` +
    `${indent}  # To whoever has asked, once, and nowhere else.\n` +
    `${indent}  allow_responses: true\n` +
    `${indent}}`
  );
}

function subject(name: Name, what: string, from: readonly Side[], to: readonly Side[]): SubjectUse {
  const of = (plane: Plane, sides: readonly Side[], proxy: string) =>
    sides
      .filter((side) => side.startsWith(plane))
      .map((side) => name((side === 'proxy_own' ? proxy : '*') as ProxyId));
  return {
    name: name('<id>' as ProxyId),
    what,
    grants: (plane, proxy) => ({
      publish: of(plane, from, proxy),
      subscribe: of(plane, to, proxy),
    }),
  };
}

/** The control plane makes it; what is written into it has a subject of its own. */
function stream(name: string, what: string, readers: readonly Plane[]): SubjectUse {
  return {
    name: `stream ${name}`,
    what,
    grants: (plane) => {
      if (!readers.includes(plane)) return NOTHING;
      const make = plane === 'control_plane' ? [`$JS.API.STREAM.CREATE.${name}`] : [];
      return { publish: [...make, ...following(name)], subscribe: [] };
    },
  };
}

function following(stream: string): readonly string[] {
  return [
    `$JS.API.STREAM.INFO.${stream}`,
    `$JS.API.STREAM.MSG.GET.${stream}`,
    `$JS.API.CONSUMER.CREATE.${stream}.>`,
    `$JS.API.CONSUMER.INFO.${stream}.>`,
    `$JS.API.CONSUMER.DELETE.${stream}.>`,
    `$JS.API.CONSUMER.MSG.NEXT.${stream}.>`,
  ];
}

/** The control plane writes it. */
function objects(bucket: string, what: string, readers: readonly Plane[]): SubjectUse {
  const stored = `OBJ_${bucket}`;
  const reading = [
    `$JS.API.STREAM.INFO.${stored}`,
    `$JS.API.STREAM.MSG.GET.${stored}`,
    `$JS.API.DIRECT.GET.${stored}`,
    `$JS.API.DIRECT.GET.${stored}.>`,
  ];
  const writing = [
    `$JS.API.STREAM.CREATE.${stored}`,
    `$JS.API.STREAM.PURGE.${stored}`,
    `$O.${bucket}.>`,
  ];
  const publish = {
    control_plane: [...writing, ...reading],
    proxy: readers.includes('proxy') ? reading : [],
  };
  return {
    name: `objects ${bucket}`,
    what,
    grants: (plane) => ({ publish: publish[plane], subscribe: [] }),
  };
}

/** Control planes alone read and write it. */
function keys(bucket: string, what: string): SubjectUse {
  const stored = `KV_${bucket}`;
  const publish = [`$JS.API.STREAM.CREATE.${stored}`, ...following(stored), `$KV.${bucket}.>`];
  return {
    name: `keys ${bucket}`,
    what,
    grants: (plane) => (plane === 'control_plane' ? { publish, subscribe: [] } : NOTHING),
  };
}

/** Answers come in under it: whoever may subscribe to it could read them. */
function inbox(prefix: string, owner: Plane): SubjectUse {
  return {
    name: `${prefix}.>`,
    what: 'Where answers come in',
    grants: (plane) => (plane === owner ? { publish: [], subscribe: [`${prefix}.>`] } : NOTHING),
  };
}
