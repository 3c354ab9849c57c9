/** What becomes of a CSV file: tenants, or faults with their lines and columns. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { TENANT_ID_RULE } from '@dbbouncer/shared/kernel/ids.ts';
import { parseConfigFile } from '@dbbouncer/shared/settings/config-file.ts';
import { importCsv } from './csv.ts';
import { fileOfImport } from './file-of-import.ts';
import { Findings, formatFaults } from './findings.ts';

function imported(text: string, delimiter = ',') {
  const findings = new Findings();
  const result = importCsv({ file: 't.csv', text, delimiter }, findings);
  return { ...result, findings, faults: formatFaults(findings.faults) };
}

function made(text: string, delimiter = ',') {
  const { tenants, faults } = imported(text, delimiter);
  assert.deepEqual(faults, []);
  return Object.fromEntries(Array.from(tenants, ([id, { tenant }]) => [id, tenant]));
}

const HEAD = 'id,host,dbname,username,password';

describe('importCsv', () => {
  it('makes a tenant of each line, by the names in the first', () => {
    assert.deepEqual(
      made(
        '\uFEFFid,port,host,dbname,username,password,max_connections,idle_timeout,databases\r\n' +
          'acme,5433,h,"d, ""x""",u,"p\r\nq",7,5m,a;b\r\n\r\n' +
          'b,,h,d,u,${B_PASSWORD},,,\r\n',
      ),
      {
        acme: {
          db_type: 'postgres',
          port: 5433,
          host: 'h',
          dbname: 'd, "x"',
          username: 'u',
          password: 'p\r\nq',
          max_connections: 7,
          idle_timeout: '5m',
          databases: ['a', 'b'],
        },
        b: {
          db_type: 'postgres',
          host: 'h',
          dbname: 'd',
          username: 'u',
          password: '${B_PASSWORD}',
        },
      },
    );
  });

  it('takes what has a structure as JSON, and other delimiters', () => {
    const users = [{ name: 'n', password: 'p' }];
    const quoted = `"${JSON.stringify(users).replaceAll('"', '""')}"`;
    const text = `${HEAD},users\na,h,d,u,p,${quoted}\n`.replaceAll(/,(?![^"]*"[^"]*$)/g, ',');
    assert.deepEqual(made(text)['a']?.['users'], users);
    assert.equal(made(`${HEAD}\na,h,d,u,p\n`.replaceAll(',', ';'), ';')['a']?.['host'], 'h');
  });

  it('tells everything that is wrong by line and column, and no value of a password', () => {
    assert.deepEqual(
      imported(
        `${HEAD},port,users\n` +
          'a,h,d,u,"pl4\nnted",0,\n' +
          'A,h,d,u,pl4nted,1,\n' +
          'a,h,d,u,pl4nted,1,\n' +
          'b,h,d\n' +
          'c,not a host,,u,,x,[\n',
      ).faults,
      [
        't.csv:2: column 6, port must be at least 1; got 0',
        't.csv:5: is the same tenant as "A" in line 4: ids ignore case',
        't.csv:6: has 3 values; the first line names 7 columns',
        't.csv:7: column 7, users, must be JSON',
      ],
    );
    assert.deepEqual(imported(`${HEAD}\nx y,h,,u,\n`).faults, [
      `t.csv:2: column 1, id must be ${TENANT_ID_RULE}`,
      't.csv:2: column 3, dbname is required',
      't.csv:2: column 5, password is required',
    ]);
  });

  it('tells of columns that are unknown, missing or there twice, and repeats no other', () => {
    assert.deepEqual(
      imported('id,user-name,host,id,pl4nted\n').faults.map((line) => line.slice(0, 70)),
      [
        't.csv:1: column 2 is called like no field of a tenant; did you mean us',
        't.csv:1: column 4, id, is there twice',
        't.csv:1: column 5 is called like no field of a tenant; known are id, d',
        't.csv:1: there is no column dbname',
        't.csv:1: there is no column username',
        't.csv:1: there is no column password',
      ],
    );
    assert.deepEqual(imported('').faults, [
      't.csv:1: the file is empty: its first line names columns',
    ]);
  });

  it('tells where it is not CSV, in no words of the file', () => {
    assert.deepEqual(imported(`${HEAD}\na,h,d,u,p\nb,h,d,u,"pl4nted\n`).faults, [
      't.csv:3: a quote that begins here or before is not closed',
    ]);
    assert.deepEqual(imported(`${HEAD}\nb,h,d,u,"pl4"nted\n`).faults, [
      't.csv:2: a closing quote is followed by text; within quotes it is written twice',
    ]);
    assert.deepEqual(imported(`${HEAD}\nb,h,d,u,pl4"nted"\n`).faults, [
      't.csv:2: a quote stands in a value without quotes',
    ]);
  });

  it('makes of any text a config file that is right, or faults', () => {
    const piece = fc.constantFrom(HEAD, '\n', '\r\n', ',', '"', 'a', 'h', 'p', '5', '[', '${', ';');
    const text = fc.oneof(
      fc.array(piece, { maxLength: 30 }).map((all) => all.join('')),
      fc
        .array(fc.tuple(fc.string(), fc.string()), { maxLength: 4 })
        .map((rows) => [HEAD, ...rows.map(([a, b]) => `${a},h,d,u,${b}`)].join('\n')),
    );
    fc.assert(
      fc.property(text, (csv) => {
        const result = imported(csv);
        if (result.faults.length > 0) return;
        const file = fileOfImport(result, result.findings);
        assert.equal(parseConfigFile(file, 'x', () => 'v').outcome, 'ok');
      }),
      { numRuns: 500 },
    );
  });
});
