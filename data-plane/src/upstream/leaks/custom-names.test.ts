/** Which parameters of two parts are found in texts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CustomNames } from './custom-names.ts';

function namesIn(...texts: readonly string[]): readonly string[] {
  const names = new CustomNames();
  for (const text of texts) names.readText(text);
  return [...names.all];
}

describe('CustomNames', () => {
  it('finds what is set and read by name, in lower case', () => {
    assert.deepEqual(
      namesIn(
        `SET app.user = 'ann'`,
        `set SESSION App.Tenant TO 3`,
        `SET LOCAL "my"."own" = 'x'`,
        `SELECT set_config('rls.id', $1, false), pg_catalog.current_setting ( 'rls.role', true)`,
      ),
      ['app.user', 'app.tenant', 'my.own', 'rls.id', 'rls.role'],
    );
  });

  it('finds it in the body of a function, quoted once or twice', () => {
    assert.deepEqual(
      namesIn(
        `CREATE FUNCTION f() RETURNS text LANGUAGE sql
           AS 'SELECT set_config(''a.b'', ''1'', false)'`,
        `CREATE FUNCTION g() RETURNS text LANGUAGE sql
           AS $$ SELECT set_config('a.c', '1', false) $$`,
      ),
      ['a.b', 'a.c'],
    );
  });

  it('takes no column for a parameter', () => {
    assert.deepEqual(namesIn('SELECT t.a FROM app.t', 'UPDATE t SET a = t.b'), []);
  });

  it('keeps 2 names of 3 when 2 may be kept', () => {
    const names = new CustomNames(2);
    names.readText('SET a.a = 1; SET a.b = 1; SET a.c = 1');
    assert.deepEqual([...names.all], ['a.a', 'a.b']);
  });
});
