/** The rules of declared servers, and the order in which several become others. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { addressKey, serverKey } from '@dbbouncer/shared/contract/database-servers.ts';
import type { ServerConfig } from '@dbbouncer/shared/contract/database-servers.ts';
import { serverCommands } from './changes.ts';
import { serverNameOf } from './commands.ts';
import { decideServer, evolveServer } from './decide.ts';
import type { ServerState } from './decide.ts';

const server = (name: string, host = name, maxConnections = 50): ServerConfig => ({
  name,
  host,
  port: 5432,
  maxConnections,
});
const ALONE = { count: 0, sameAddress: undefined } as const;
const set = (one: ServerConfig) => ({ kind: 'set_server', server: one }) as const;

describe('set_server', () => {
  it('records the server whole, the API’s unless somebody else is named', () => {
    const [event] = decideServer(set(server('a')), undefined, ALONE);
    assert.deepEqual(event, { type: 'ServerSet', data: { server: server('a'), origin: 'api' } });
    const file = { ...set(server('a')), origin: 'file' } as const;
    const [own] = decideServer(file, undefined, ALONE);
    assert.ok(own?.type === 'ServerSet' && own.data.origin === 'file');
  });

  it('keeps its name as it was first written, and whose it is', () => {
    const state = { server: server('Main'), origin: 'file' } as const;
    const [event] = decideServer(set(server('MAIN', 'other')), state, ALONE);
    const data = { server: server('Main', 'other'), origin: 'file' };
    assert.deepEqual(event?.data, data);
  });

  it('records nothing for what holds already', () => {
    const state = { server: server('a'), origin: 'file' } as const;
    assert.deepEqual(decideServer(set(server('a')), state, ALONE), []);
  });

  it('refuses an address that another server has, and the 1,001st server', () => {
    const others = { count: 1, sameAddress: server('b', 'a') };
    assert.throws(() => decideServer(set(server('a')), undefined, others), {
      code: 'SERVER_ADDRESS_TAKEN',
      message: 'a:5432 is declared as server "b" already.',
    });
    const full = { count: 1_000, sameAddress: undefined };
    assert.throws(() => decideServer(set(server('a')), undefined, full), {
      code: 'SERVERS_FULL',
      message: '1000 database servers are declared; at most 1000 may be.',
    });
    const there = { server: server('a'), origin: 'api' } as const;
    const changed = decideServer(set(server('a', 'a', 9)), there, { ...full, count: 999 });
    assert.equal(changed.length, 1);
  });
});

describe('remove_server', () => {
  it('removes what is there, and refuses what is not', () => {
    const command = { kind: 'remove_server', name: 'a' } as const;
    const state = { server: server('a'), origin: 'api' } as const;
    assert.deepEqual(decideServer(command, state, ALONE), [{ type: 'ServerRemoved', data: {} }]);
    assert.throws(() => decideServer(command, undefined, ALONE), { code: 'SERVER_NOT_FOUND' });
  });
});

describe('serverCommands', () => {
  it('leads from any servers to any others without a refusal, exchanged addresses too', () => {
    const names = fc.constantFrom('a', 'b', 'c', 'd');
    const servers = fc
      .uniqueArray(fc.tuple(names, fc.constantFrom('w', 'x', 'y', 'z')), { maxLength: 4 })
      .map((pairs) => {
        const byName = new Map(pairs.map(([name, host]) => [name, server(name, host)] as const));
        const byHost = new Map(
          Array.from(byName.values(), (one) => [addressKey(one), one] as const),
        );
        return new Map(Array.from(byHost.values(), (one) => [serverKey(one.name), one] as const));
      });
    fc.assert(
      fc.property(servers, servers, (present, wanted) => {
        const now = new Map<string, NonNullable<ServerState>>(
          Array.from(present, ([key, one]) => [key, { server: one, origin: 'api' }] as const),
        );
        const keys = new Set([...present.keys(), ...wanted.keys()]);
        const changes = Array.from(keys, (key) => ({
          present: present.get(key),
          wanted: wanted.get(key),
        }));
        for (const command of serverCommands(changes)) {
          const key = serverKey(serverNameOf(command));
          const others = [...now.values()].filter((other) => other !== now.get(key));
          const sameAddress =
            command.kind === 'set_server'
              ? others.find((other) => addressKey(other.server) === addressKey(command.server))
              : undefined;
          const count = others.length;
          const events = decideServer(command, now.get(key), {
            count,
            sameAddress: sameAddress?.server,
          });
          for (const event of events) {
            const next = evolveServer(now.get(key), event);
            if (next === undefined) now.delete(key);
            else now.set(key, next);
          }
        }
        const reached = new Map(Array.from(now, ([key, state]) => [key, state.server] as const));
        assert.deepEqual(reached, wanted);
      }),
    );
  });
});
