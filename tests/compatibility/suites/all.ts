/**
 * Every suite of the compatibility matrix, in the order of the document.
 */
import type { Suite } from '../suite.ts';
import { drizzleSuite } from './drizzle.ts';
import { jdbcSuite } from './jdbc.ts';
import { knexSuite } from './knex.ts';
import { nodePostgres } from './node-postgres.ts';
import { pgPromiseSuite } from './pg-promise.ts';
import { postgresJs } from './postgres-js.ts';
import { prismaSuite } from './prisma.ts';
import { psycopg2Suite, psycopg3Suite } from './psycopg.ts';
import { sequelizeSuite } from './sequelize.ts';
import { typeormSuite } from './typeorm.ts';

export const DRIVERS: readonly Suite[] = [nodePostgres, postgresJs, pgPromiseSuite, knexSuite];
export const MAPPERS: readonly Suite[] = [drizzleSuite, prismaSuite, typeormSuite, sequelizeSuite];
/** In other languages. */
export const PROGRAMS: readonly Suite[] = [psycopg3Suite, psycopg2Suite, jdbcSuite];

export const SUITES: readonly Suite[] = [...DRIVERS, ...MAPPERS, ...PROGRAMS];
