/**
 * Prisma over its adapter for pg: migrations by its schema engine, and its client.
 * Source: what `prisma generate` writes, without the types; the command itself needs programs that
 * only its own host has.
 */
import assert from 'node:assert/strict';
import { PrismaPg } from '@prisma/adapter-pg';
import { getPrismaClient } from '@prisma/client/runtime/client';
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils';
import { SchemaEngine } from '@prisma/schema-engine-wasm';
import pg from 'pg';
import { npmVersions } from '../suite.ts';
import type { Cases, Place, Suite } from '../suite.ts';
import { upTo } from './support.ts';

const SCHEMA = `datasource db {
  provider = "postgresql"
}

model Account {
  id        Int      @id @default(autoincrement())
  email     String   @unique
  balance   Decimal  @db.Decimal(12, 2)
  tags      String[]
  data      Json?
  createdAt DateTime @default(now())
  orders    Order[]
}

model Order {
  id        Int     @id @default(autoincrement())
  account   Account @relation(fields: [accountId], references: [id])
  accountId Int
  note      String
}
`;

const MIGRATION = `CREATE TABLE "Account" (
  "id" SERIAL NOT NULL,
  "email" TEXT NOT NULL,
  "balance" DECIMAL(12,2) NOT NULL,
  "tags" TEXT[],
  "data" JSONB,
  "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
  CONSTRAINT "Account_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "Order" (
  "id" SERIAL NOT NULL,
  "accountId" INTEGER NOT NULL,
  "note" TEXT NOT NULL,
  CONSTRAINT "Order_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "Account_email_key" ON "Account"("email");
ALTER TABLE "Order" ADD CONSTRAINT "Order_accountId_fkey" FOREIGN KEY ("accountId")
  REFERENCES "Account"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
`;

/** Its types are those of browsers, which the tests do not load. */
const wasmOfNode = (globalThis as unknown as { WebAssembly: WasmOfNode }).WebAssembly;
interface WasmOfNode {
  compile(bytes: Uint8Array): Promise<unknown>;
}

const COMPILER = '@prisma/client/runtime/query_compiler_fast_bg.postgresql';

const scalar = (name: string, type: string) => ({ name, kind: 'scalar', type });
const relation = (name: string, type: string) => ({
  name,
  kind: 'object',
  type,
  relationName: 'AccountToOrder',
});
const MODELS = {
  Account: {
    fields: [
      scalar('id', 'Int'),
      scalar('email', 'String'),
      scalar('balance', 'Decimal'),
      scalar('tags', 'String'),
      scalar('data', 'Json'),
      scalar('createdAt', 'DateTime'),
      relation('orders', 'Order'),
    ],
    dbName: null,
    schema: null,
  },
  Order: {
    fields: [
      scalar('id', 'Int'),
      relation('account', 'Account'),
      scalar('accountId', 'Int'),
      scalar('note', 'String'),
    ],
    dbName: null,
    schema: null,
  },
};

type Row = Readonly<Record<string, unknown>>;
interface Model {
  create(args: object): Promise<Row>;
  createMany(args: object): Promise<{ count: number }>;
  findMany(args?: object): Promise<readonly Row[]>;
  findUnique(args: object): Promise<Row | null>;
  upsert(args: object): Promise<Row>;
  updateMany(args: object): Promise<{ count: number }>;
  deleteMany(args: object): Promise<{ count: number }>;
  count(args?: object): Promise<number>;
}
interface Client {
  readonly account: Model;
  readonly order: Model;
  $queryRaw(strings: TemplateStringsArray, ...values: unknown[]): Promise<readonly Row[]>;
  $transaction<T>(
    work: ((tx: Client) => Promise<T>) | readonly Promise<T>[],
    options?: object,
  ): Promise<T>;
  $disconnect(): Promise<void>;
}

const PrismaClient = getPrismaClient({
  previewFeatures: [],
  clientVersion: '7.10.0',
  activeProvider: 'postgresql',
  engineVersion: '0edf323efd1d98336f3f0a68684b56f689b900d3',
  inlineSchema: SCHEMA,
  runtimeDataModel: { models: MODELS, enums: {}, types: {} },
  // A graph without nodes: no query is taken for another with other parameters.
  parameterizationSchema: { strings: [], graph: 'AAAAAAAAAAA' },
  compilerWasm: {
    getRuntime: () => import(`${COMPILER}.mjs`),
    getQueryCompilerWasmModule: async () => {
      const { wasm } = (await import(`${COMPILER}.wasm-base64.mjs`)) as { wasm: string };
      return wasmOfNode.compile(Buffer.from(wasm, 'base64'));
    },
    importName: './query_compiler_fast_bg.js',
  },
} as unknown as Parameters<typeof getPrismaClient>[0]) as unknown as new (
  options: object,
) => Client;

async function migrate(place: Place): Promise<readonly string[]> {
  // Its connection holds the lock of the migrations until it ends.
  const pool = new pg.Pool({ connectionString: place.url });
  const adapter = new PrismaPg(pool);
  const bound = bindMigrationAwareSqlAdapterFactory(adapter);
  const engine = await SchemaEngine.new({ datamodels: undefined }, () => {}, bound);
  const file = { path: 'migration.sql', content: { tag: 'ok', value: MIGRATION } } as const;
  try {
    const { appliedMigrationNames } = await engine.applyMigrations({
      filters: { externalTables: [], externalEnums: [] },
      migrationsList: {
        baseDir: '/',
        lockfile: { path: 'migration_lock.toml', content: 'provider = "postgresql"' },
        shadowDbInitScript: '',
        migrationDirectories: [{ path: '20240101000000_first', migrationFile: file }],
      },
    });
    return appliedMigrationNames;
  } finally {
    engine.free();
    await pool.end();
  }
}

async function withPrisma(place: Place, work: (prisma: Client) => Promise<void>): Promise<void> {
  await migrate(place);
  const adapter = new PrismaPg(
    { connectionString: place.url, max: place.clientsMax },
    { onPoolError: () => {} },
  );
  const prisma = new PrismaClient({ adapter, errorFormat: 'minimal' });
  try {
    await work(prisma);
  } finally {
    await prisma.$disconnect();
  }
}

const cases: Cases = {
  'migrates once, however often it is started': async (place) => {
    await migrate(place);
    assert.deepEqual(await migrate(place), []);
    const log = await place.sql('SELECT migration_name FROM _prisma_migrations');
    assert.deepEqual(log, [{ migration_name: '20240101000000_first' }]);
  },

  'creates with relations, reads, updates, upserts and deletes': (place) =>
    withPrisma(place, async ({ account, order }) => {
      const orders = { create: upTo(3).map((n) => ({ note: `n${n}` })) };
      const data = { email: 'a@x', balance: '12.50', tags: ['a', 'b'], data: { x: [1] }, orders };
      const made = await account.create({ data, include: { orders: true } });
      assert.equal(String(made['balance']), '12.5');
      assert.ok(made['createdAt'] instanceof Date);
      assert.deepEqual([made['tags'], made['data']], [['a', 'b'], { x: [1] }]);
      const found = await account.findMany({
        where: { orders: { some: { note: { startsWith: 'n' } } }, tags: { has: 'a' } },
        select: {
          email: true,
          orders: { select: { note: true }, orderBy: { note: 'desc' }, take: 1 },
        },
      });
      assert.deepEqual(found, [{ email: 'a@x', orders: [{ note: 'n2' }] }]);
      await account.upsert({
        where: { email: 'a@x' },
        create: { email: 'a@x', balance: 0 },
        update: { balance: { increment: 1 } },
      });
      const after = await account.findUnique({ where: { email: 'a@x' } });
      assert.equal(String(after?.['balance']), '13.5');
      assert.deepEqual(await order.deleteMany({}), { count: 3 });
      assert.deepEqual(await account.deleteMany({}), { count: 1 });
    }),

  'runs 50 queries at once over as many connections as it may open': (place) =>
    withPrisma(place, async (prisma) => {
      const rows = await Promise.all(upTo(50).map((n) => prisma.$queryRaw`SELECT ${n}::int AS n`));
      assert.deepEqual(
        rows.map(([row]) => row?.['n']),
        upTo(50),
      );
    }),

  'commits and rolls back interactive transactions, and batches': (place) =>
    withPrisma(place, async (prisma) => {
      const data = (email: string) => ({ data: { email, balance: 1 } });
      const failing = prisma.$transaction(
        async (tx) => {
          await tx.account.create(data('tx@x'));
          throw new Error('changed my mind');
        },
        { isolationLevel: 'Serializable' },
      );
      await assert.rejects(failing, /changed my mind/);
      assert.equal(await prisma.account.count({ where: { email: 'tx@x' } }), 0);
      await prisma.$transaction([
        prisma.account.create(data('batch1@x')),
        prisma.account.create(data('batch2@x')),
      ]);
      assert.equal(await prisma.account.count({ where: { email: { startsWith: 'batch' } } }), 2);
    }),

  'reads constraint errors by their codes': (place) =>
    withPrisma(place, async ({ account, order }) => {
      await account.createMany({ data: [{ email: 'once@x', balance: 1 }] });
      const twice = account.create({ data: { email: 'once@x', balance: 1 } });
      await assert.rejects(twice, { code: 'P2002' });
      const orphan = order.createMany({ data: [{ accountId: -1, note: 'of nobody' }] });
      await assert.rejects(orphan, { code: 'P2003' });
    }),

  'takes the advisory lock of its migrations against another client': (place) =>
    withPrisma(place, (first) =>
      withPrisma(place, async (second) => {
        await first.$transaction(async (tx) => {
          await tx.$queryRaw`SELECT 1 FROM pg_advisory_xact_lock(72707369)`;
          const rows = await second.$queryRaw`SELECT pg_try_advisory_xact_lock(72707369) AS free`;
          assert.deepEqual(rows, [{ free: false }]);
        });
        const rows = await second.$queryRaw`SELECT pg_try_advisory_xact_lock(72707369) AS free`;
        assert.deepEqual(rows, [{ free: true }]);
      }),
    ),

  'connects again after the database restarted': (place) =>
    withPrisma(place, async (prisma) => {
      await Promise.all(upTo(4).map(() => prisma.$queryRaw`SELECT 1`));
      await place.restartServer();
      await Promise.all(upTo(8).map(() => prisma.$queryRaw`SELECT 1`.then(String, String)));
      assert.deepEqual(await prisma.$queryRaw`SELECT 2 AS v`, [{ v: 2 }]);
    }),
};

export const prismaSuite: Suite = {
  name: 'Prisma',
  id: 'prisma',
  versions: npmVersions('@prisma/client', '@prisma/adapter-pg'),
  cases,
  ordinary: {
    'schema creation': 'migrates once, however often it is started',
    'prepared queries': 'runs 50 queries at once over as many connections as it may open',
    transactions: 'commits and rolls back interactive transactions, and batches',
    errors: 'reads constraint errors by their codes',
    'restart of the database': 'connects again after the database restarted',
  },
};
