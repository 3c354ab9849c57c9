/**
 * Sequelize: sync, models with associations, transactions, errors.
 */
import assert from 'node:assert/strict';
import { DataTypes, QueryTypes, Sequelize, Transaction, UniqueConstraintError } from 'sequelize';
import type { Model, ModelStatic } from 'sequelize';
import { npmVersions } from '../suite.ts';
import type { Cases, Place, Suite } from '../suite.ts';
import { upTo } from './support.ts';

interface Models {
  readonly sequelize: Sequelize;
  readonly User: ModelStatic<Model>;
  readonly Task: ModelStatic<Model>;
}

async function withModels(place: Place, work: (models: Models) => Promise<void>): Promise<void> {
  const pool = { max: 8 };
  const sequelize = new Sequelize(place.url, { dialect: 'postgres', logging: false, pool });
  const User = sequelize.define('User', {
    email: { type: DataTypes.STRING, unique: true, allowNull: false },
    profile: DataTypes.JSONB,
    tags: DataTypes.ARRAY(DataTypes.TEXT),
    born: DataTypes.DATEONLY,
  });
  const Task = sequelize.define('Task', {
    title: DataTypes.TEXT,
    state: { type: DataTypes.ENUM('open', 'done'), defaultValue: 'open' },
  });
  User.hasMany(Task, { as: 'tasks' });
  Task.belongsTo(User);
  try {
    await sequelize.sync();
    await work({ sequelize, User, Task });
  } finally {
    await sequelize.close();
  }
}

const cases: Cases = {
  'syncs, and alters what is there already': (place) =>
    withModels(place, async ({ sequelize, Task }) => {
      Task.init(
        { ...Task.getAttributes(), effort: DataTypes.INTEGER },
        { sequelize, modelName: 'Task' },
      );
      await sequelize.sync({ alter: true });
      const columns = await sequelize.getQueryInterface().describeTable('Tasks');
      assert.equal(columns['effort']?.type, 'INTEGER');
    }),

  'creates with associations, reads, updates, upserts and deletes': (place) =>
    withModels(place, async ({ User, Task }) => {
      const tasks = upTo(3).map((n) => ({ title: `t${n}` }));
      const values = {
        email: 'a@x',
        profile: { a: [1] },
        tags: ['x', `it's`],
        born: '2000-02-29',
        tasks,
      };
      await User.create(values, { include: [{ model: Task, as: 'tasks' }] });
      const found = await User.findOne({
        where: { email: 'a@x' },
        include: 'tasks',
        rejectOnEmpty: true,
      });
      const { profile, tags, born, tasks: read } = found.toJSON<typeof values>();
      assert.deepEqual(
        { profile, tags, born },
        { profile: { a: [1] }, tags: ['x', `it's`], born: '2000-02-29' },
      );
      assert.equal(read.length, 3);
      assert.deepEqual(await Task.update({ state: 'done' }, { where: { title: 't1' } }), [1]);
      await User.upsert({ email: 'a@x', tags: [] });
      assert.equal(await User.count({ where: { tags: [] } }), 1);
      assert.equal(await Task.destroy({ where: {} }), 3);
      assert.equal(await User.destroy({ where: { email: 'a@x' } }), 1);
    }),

  'inserts 500 rows at once and reads them in pages': (place) =>
    withModels(place, async ({ Task }) => {
      await Task.bulkCreate(upTo(500).map((n) => ({ title: `bulk ${n}` })));
      const page = await Task.findAndCountAll({ order: ['id'], limit: 10, offset: 490 });
      assert.deepEqual([page.count, page.rows.length], [500, 10]);
      await Task.truncate({ cascade: true });
    }),

  'commits and rolls back, with savepoints': (place) =>
    withModels(place, async ({ sequelize, User }) => {
      const isolationLevel = Transaction.ISOLATION_LEVELS.REPEATABLE_READ;
      await sequelize.transaction({ isolationLevel }, async (transaction) => {
        await User.create({ email: 'outer@x' }, { transaction });
        const inner = sequelize.transaction({ transaction }, async (deeper) => {
          await User.create({ email: 'inner@x' }, { transaction: deeper });
          throw new Error('not that one');
        });
        await assert.rejects(inner, /not that one/);
      });
      const rows = await User.findAll({ attributes: ['email'], raw: true });
      assert.deepEqual(rows, [{ email: 'outer@x' }]);
    }),

  'reads constraint errors with their columns': (place) =>
    withModels(place, async ({ User, Task }) => {
      await User.create({ email: 'once@x' });
      await assert.rejects(User.create({ email: 'once@x' }), (error) => {
        assert.ok(error instanceof UniqueConstraintError);
        assert.deepEqual(Object.keys(error.fields), ['email']);
        return true;
      });
      const orphan = Task.create({ title: 'of nobody', UserId: -1 });
      await assert.rejects(orphan, { name: 'SequelizeForeignKeyConstraintError' });
    }),

  'binds values in 50 queries at once over as many connections as it may open': (place) =>
    withModels(place, async ({ sequelize }) => {
      const type = QueryTypes.SELECT as const;
      const rows = await Promise.all(
        upTo(50).map((n) => sequelize.query('SELECT $1::int AS n', { bind: [n], type })),
      );
      assert.deepEqual(
        rows.flat(),
        upTo(50).map((n) => ({ n })),
      );
      const text = await sequelize.query('SELECT :t AS t', { replacements: { t: `it's` }, type });
      assert.deepEqual(text, [{ t: `it's` }]);
    }),

  'connects again after the database restarted': (place) =>
    withModels(place, async ({ sequelize }) => {
      // Until all its connections have been set up: it forgets to close one whose set-up fails.
      await Promise.all(upTo(8).map(() => sequelize.query('SELECT pg_sleep(0.05)')));
      await place.restartServer();
      await Promise.all(upTo(8).map(() => sequelize.query('SELECT 1').then(String, String)));
      const [rows] = await sequelize.query('SELECT 2 AS v');
      assert.deepEqual(rows, [{ v: 2 }]);
    }),
};

export const sequelizeSuite: Suite = {
  name: 'Sequelize',
  id: 'sequelize',
  versions: npmVersions('sequelize'),
  cases,
  ordinary: {
    'schema creation': 'syncs, and alters what is there already',
    'prepared queries':
      'binds values in 50 queries at once over as many connections as it may open',
    transactions: 'commits and rolls back, with savepoints',
    errors: 'reads constraint errors with their columns',
    'restart of the database': 'connects again after the database restarted',
  },
};
