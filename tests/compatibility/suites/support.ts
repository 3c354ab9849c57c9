/**
 * Small things that the suites share.
 */

/** 0, 1, … `count` - 1 */
export function upTo(count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** As a migration brings it: in one text, which one transaction runs. */
export const SHOP = `
  CREATE SCHEMA shop;
  CREATE TYPE shop.state AS ENUM ('open', 'done');
  CREATE TABLE shop.orders (id int PRIMARY KEY, state shop.state NOT NULL);
  CREATE INDEX orders_state ON shop.orders (state);
  CREATE VIEW shop.done AS SELECT id FROM shop.orders WHERE state = 'done';
  CREATE FUNCTION shop.finish(int) RETURNS void LANGUAGE sql
    AS $$ UPDATE shop.orders SET state = 'done' WHERE id = $1 $$;`;

export const NEW_SHAPE =
  'a server connection that has not parsed the statement yet parses it now, without an error; ' +
  'the driver reads its rows by the description that it has from before';
