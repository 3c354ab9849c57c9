/** What the config file does to declared servers: as to tenants, but for whose they are. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { newServerConfig } from '@dbbouncer/shared/contract/server-resource.ts';
import type { ServerView } from '../store/servers.ts';
import { planServers } from './plan-servers.ts';

const entry = (host: string, max = 50) => ({ host, max_connections: max });

function view(name: string, origin: ServerView['origin'], host = name, max = 50): ServerView {
  const server = newServerConfig(name, entry(host, max));
  return { server, origin, version: 1, position: 1, createdAt: '', updatedAt: '' };
}

interface Given {
  readonly file: Readonly<Record<string, ReturnType<typeof entry>>>;
  readonly present?: readonly ServerView[];
  /** What the file said of each last; null where it removed it. */
  readonly said?: Readonly<Record<string, ReturnType<typeof entry> | null>>;
  readonly scope?: 'news' | 'whole';
}

function plan({ file, present = [], said = {}, scope = 'news' }: Given) {
  const onServer = (name: string) => {
    const word = said[name];
    if (word === undefined) return undefined;
    return { server: word === null ? undefined : newServerConfig(name, word) };
  };
  const servers = new Map(Object.entries(file));
  const { commands, kept } = planServers({ servers }, present, { onServer }, scope);
  const told = commands.map((command) =>
    command.kind === 'set_server'
      ? `${command.server.name} at ${command.server.host} of ${command.origin}`
      : `no ${command.name}`,
  );
  return { told, kept };
}

describe('planServers', () => {
  it('declares what is new, changes what is other, removes what was its own', () => {
    const present = [view('b', 'file'), view('gone', 'file'), view('theirs', 'api')];
    const { told } = plan({ file: { a: entry('a'), b: entry('new') }, present });
    assert.deepEqual(told, ['no gone', 'a at a of file', 'b at new of file']);
  });

  it('does nothing where they agree, whoever has declared it', () => {
    const present = [view('A', 'api'), view('b', 'file')];
    const { told, kept } = plan({ file: { a: entry('A'), b: entry('b') }, present });
    assert.deepEqual([told, kept], [[], []]);
  });

  it('leaves what was changed or removed elsewhere since, unless the whole is asked for', () => {
    const file = { a: entry('a'), b: entry('b') };
    const present = [view('a', 'api', 'a', 9)];
    const said = { a: entry('a'), b: entry('b') };
    assert.deepEqual(plan({ file, present, said }), { told: [], kept: ['a', 'b'] });
    const whole = plan({ file, present, said, scope: 'whole' });
    assert.deepEqual(whole.told, ['a at a of file', 'b at b of file']);
  });

  it('declares again what it had removed itself', () => {
    assert.deepEqual(plan({ file: { a: entry('a') }, said: { a: null } }).told, ['a at a of file']);
  });

  it('lets two servers exchange their addresses', () => {
    const present = [view('a', 'file', 'x'), view('b', 'file', 'y')];
    const { told } = plan({ file: { a: entry('y'), b: entry('x') }, present });
    assert.deepEqual(told, ['no a', 'no b', 'a at y of file', 'b at x of file']);
  });
});
