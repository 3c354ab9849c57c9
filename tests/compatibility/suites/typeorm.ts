/**
 * TypeORM: synchronize, migrations, repositories, query builder, transactions.
 */
import assert from 'node:assert/strict';
import 'reflect-metadata';
import { DataSource, EntitySchema, QueryFailedError } from 'typeorm';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { npmVersions } from '../suite.ts';
import type { Cases, Place, Suite } from '../suite.ts';
import { upTo } from './support.ts';

interface User {
  id: number;
  email: string;
  settings: object | null;
  seen: Date | null;
  posts?: Post[];
}
interface Post {
  id: number;
  title: string;
  tags: string[];
  user?: User;
}

const Users = new EntitySchema<User>({
  name: 'User',
  tableName: 'to_users',
  columns: {
    id: { type: 'int', primary: true, generated: true },
    email: { type: 'varchar', unique: true },
    settings: { type: 'jsonb', nullable: true },
    seen: { type: 'timestamptz', nullable: true },
  },
  relations: { posts: { type: 'one-to-many', target: 'Post', inverseSide: 'user', cascade: true } },
});
const Posts = new EntitySchema<Post>({
  name: 'Post',
  tableName: 'to_posts',
  columns: {
    id: { type: 'uuid', primary: true, generated: 'uuid' },
    title: { type: 'text' },
    tags: { type: 'text', array: true, default: [] },
  },
  relations: {
    user: { type: 'many-to-one', target: 'User', inverseSide: 'posts', joinColumn: true },
  },
  indices: [{ columns: ['title'] }],
});

class AddNote1700000000000 implements MigrationInterface {
  readonly name = 'AddNote1700000000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE TABLE to_notes (id serial PRIMARY KEY, note text)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE to_notes');
  }
}

async function withSource(
  place: Place,
  work: (source: DataSource) => Promise<void>,
): Promise<void> {
  const source = new DataSource({
    type: 'postgres',
    url: place.url,
    poolSize: place.clientsMax,
    logging: false,
    entities: [Users, Posts],
    migrations: [AddNote1700000000000],
    synchronize: true,
    poolErrorHandler: () => {},
  });
  await source.initialize();
  try {
    await work(source);
  } finally {
    await source.destroy();
  }
}

const cases: Cases = {
  'synchronizes a schema, and finds nothing to do the second time': (place) =>
    withSource(place, async (source) => {
      const { upQueries } = await source.driver.createSchemaBuilder().log();
      assert.deepEqual(upQueries, []);
      const tables = await place.sql(
        `SELECT tablename FROM pg_tables WHERE tablename LIKE 'to\\_%'`,
      );
      assert.equal(tables.length >= 2, true);
    }),

  'runs a migration once and takes it back': (place) =>
    withSource(place, async (source) => {
      assert.equal((await source.runMigrations()).length, 1);
      assert.equal((await source.runMigrations()).length, 0);
      await source.query(`INSERT INTO to_notes (note) VALUES ('x')`);
      await source.undoLastMigration();
      await assert.rejects(source.query('SELECT FROM to_notes'), { code: '42P01' });
    }),

  'saves with relations, reads with joins, updates and deletes': (place) =>
    withSource(place, async (source) => {
      const users = source.getRepository(Users);
      const seen = new Date('2024-02-29T12:34:56.789Z');
      const posts = upTo(3).map((n) => ({ title: `t${n}`, tags: ['a', `${n}`] }));
      const saved = await users.save({ email: 'a@x', settings: { dark: true }, seen, posts });
      const found = await users.findOne({ where: { id: saved.id }, relations: { posts: true } });
      assert.deepEqual(found?.settings, { dark: true });
      assert.deepEqual(found?.seen, seen);
      assert.equal(found?.posts?.length, 3);
      const [titles, count] = await source
        .getRepository(Posts)
        .createQueryBuilder('post')
        .innerJoin('post.user', 'user')
        .where('user.email = :email AND :tag = ANY(post.tags)', { email: 'a@x', tag: '1' })
        .getManyAndCount();
      assert.deepEqual([titles.map(({ title }) => title), count], [['t1'], 1]);
      assert.equal((await users.update({ email: 'a@x' }, { seen: null })).affected, 1);
      await source.getRepository(Posts).clear();
      assert.equal((await users.delete({ email: 'a@x' })).affected, 1);
    }),

  'upserts 200 rows at once': (place) =>
    withSource(place, async (source) => {
      const users = source.getRepository(Users);
      const rows = upTo(200).map((n) => ({ email: `many${n}@x`, settings: { n } }));
      await users.upsert(rows, ['email']);
      await users.upsert(rows, ['email']);
      const count = await users.createQueryBuilder().where(`email LIKE 'many%'`).getCount();
      assert.equal(count, 200);
    }),

  'runs 50 queries at once over as many connections as it may open': (place) =>
    withSource(place, async (source) => {
      const ask = (n: number) => source.query<{ n: number }[]>('SELECT $1::int AS n', [n]);
      const rows = await Promise.all(upTo(50).map(ask));
      assert.deepEqual(
        rows.map(([row]) => row?.n),
        upTo(50),
      );
    }),

  'rolls back a transaction and a nested one': (place) =>
    withSource(place, async (source) => {
      const user = (email: string) => ({ email, settings: null, seen: null });
      await source.transaction('SERIALIZABLE', async (outer) => {
        await outer.insert(Users, user('outer@x'));
        const inner = outer.transaction(async (tx) => {
          await tx.insert(Users, user('inner@x'));
          throw new Error('not that one');
        });
        await assert.rejects(inner, /not that one/);
      });
      const rows = await source.getRepository(Users).find({ select: { email: true } });
      const emails = rows.map(({ email }) => email);
      assert.deepEqual([emails.includes('outer@x'), emails.includes('inner@x')], [true, false]);
    }),

  'reads constraint errors with code and constraint': (place) =>
    withSource(place, async (source) => {
      const users = source.getRepository(Users);
      await users.insert({ email: 'once@x' });
      await assert.rejects(users.insert({ email: 'once@x' }), (error) => {
        assert.ok(error instanceof QueryFailedError);
        assert.equal((error.driverError as { code?: string }).code, '23505');
        return true;
      });
    }),

  'locks a row with pessimistic_write while 6 others wait for it': (place) =>
    withSource(place, async (source) => {
      await source.getRepository(Users).insert({ email: 'counter@x', settings: { n: 0 } });
      const increment = () =>
        source.transaction(async (tx) => {
          const lock = { mode: 'pessimistic_write' } as const;
          const row = await tx.findOneOrFail(Users, { where: { email: 'counter@x' }, lock });
          const { n } = row.settings as { n: number };
          await tx.update(Users, { id: row.id }, { settings: { n: n + 1 } });
        });
      await Promise.all(upTo(6).map(increment));
      const row = await source.getRepository(Users).findOneByOrFail({ email: 'counter@x' });
      assert.deepEqual(row.settings, { n: 6 });
    }),

  'streams rows of a query runner': (place) =>
    withSource(place, async (source) => {
      const runner = source.createQueryRunner();
      try {
        const rows = await runner.stream('SELECT g FROM generate_series(1, 1000) g');
        let sum = 0;
        for await (const { g } of rows as unknown as AsyncIterable<{ g: number }>) sum += g;
        assert.equal(sum, 500_500);
      } finally {
        await runner.release();
      }
    }),

  'connects again after the database restarted': (place) =>
    withSource(place, async (source) => {
      await Promise.all(upTo(4).map(() => source.query('SELECT 1')));
      await place.restartServer();
      await Promise.all(upTo(8).map(() => source.query('SELECT 1').then(String, String)));
      const rows = await source.query<unknown[]>('SELECT 2 AS v');
      assert.deepEqual(rows, [{ v: 2 }]);
    }),
};

export const typeormSuite: Suite = {
  name: 'TypeORM',
  id: 'typeorm',
  versions: npmVersions('typeorm'),
  cases,
  ordinary: {
    'schema creation': 'synchronizes a schema, and finds nothing to do the second time',
    'prepared queries': 'runs 50 queries at once over as many connections as it may open',
    transactions: 'rolls back a transaction and a nested one',
    errors: 'reads constraint errors with code and constraint',
    'restart of the database': 'connects again after the database restarted',
  },
};
