/** What is kept of users that were looked up, for how long and how much of it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { someTenant } from '../../../routing/testing.ts';
import { Credential } from '../../../upstream/credential.ts';
import { CredentialStore } from '../../../upstream/credentials.ts';
import { Accounts } from './account.ts';
import { FOUND_USERS_MAX, FoundUser, FoundUsers, MISSING_USERS_MAX } from './found-users.ts';

const TTL_MS = 60_000;
const accounts = new Accounts(new CredentialStore({ open: () => 'secret' }));
const found = (name: string, password = 'secret', former?: FoundUser) =>
  new FoundUser(name, new Credential(password), accounts, former);

describe('FoundUsers', () => {
  it('knows an answer until its time is over, and a former one after that', () => {
    const users = new FoundUsers();
    const ann = found('ann');
    users.remember('ann', ann, 1_000, TTL_MS);
    users.remember('bob', undefined, 1_000, TTL_MS);
    assert.equal(users.known('ann', 60_999)?.user, ann);
    assert.deepEqual(users.known('bob', 60_999)?.user, undefined);
    assert.notEqual(users.known('bob', 60_999), undefined);
    assert.equal(users.known('ann', 61_000), undefined);
    assert.equal(users.known('bob', 61_000), undefined);
    assert.equal(users.former('ann'), ann);
  });

  it('holds nothing with a time of 0', () => {
    const users = new FoundUsers();
    users.remember('ann', found('ann'), 1_000, 0);
    assert.equal(users.known('ann', 1_000), undefined);
  });

  it(`forgets the user looked up longest ago for the ${FOUND_USERS_MAX + 1}st`, () => {
    const users = new FoundUsers();
    for (let index = 0; index <= FOUND_USERS_MAX; index++) {
      users.remember(`user${index}`, found(`user${index}`), 0, TTL_MS);
      if (index === 500) users.remember('user0', found('user0'), 0, TTL_MS);
    }
    assert.notEqual(users.known('user0', 1), undefined, 'looked up again meanwhile');
    assert.equal(users.known('user1', 1), undefined);
    assert.notEqual(users.known('user2', 1), undefined);
    assert.notEqual(users.known(`user${FOUND_USERS_MAX}`, 1), undefined);
  });

  it(`forgets no user for ${MISSING_USERS_MAX * 3} invented names`, () => {
    const users = new FoundUsers();
    users.remember('ann', found('ann'), 0, TTL_MS);
    for (let index = 0; index < MISSING_USERS_MAX * 3; index++) {
      users.remember(`invented${index}`, undefined, 0, TTL_MS);
    }
    assert.notEqual(users.known('ann', 1), undefined);
    const last = MISSING_USERS_MAX * 3 - 1;
    assert.notEqual(users.known(`invented${last}`, 1), undefined);
    assert.equal(users.known(`invented${last - MISSING_USERS_MAX}`, 1), undefined);
  });

  it('has a user who comes into being under either answer, never under both', () => {
    const users = new FoundUsers();
    users.remember('ann', undefined, 0, TTL_MS);
    users.remember('ann', found('ann'), 1, TTL_MS);
    assert.notEqual(users.known('ann', 2)?.user, undefined);
    users.remember('ann', undefined, 3, TTL_MS);
    assert.equal(users.known('ann', 4)?.user, undefined);
  });

  it('doubts after a wrong password what was asked 3 s ago, and nothing younger', () => {
    const users = new FoundUsers();
    users.remember('ann', found('ann'), 1_000, TTL_MS);
    users.doubt('ann', 3_999, 3_000);
    assert.notEqual(users.known('ann', 3_999), undefined);
    users.doubt('ann', 4_000, 3_000);
    assert.equal(users.known('ann', 4_000), undefined);
  });

  it('asks for everybody again under another config, and knows what they were', () => {
    const users = new FoundUsers();
    const ann = found('ann');
    users.remember('ann', ann, 0, TTL_MS);
    const heir = users.allDoubted();
    assert.equal(heir.known('ann', 0), undefined);
    assert.equal(heir.former('ann'), ann);
    assert.equal(heir.typical, ann.credential);
  });
});

describe('FoundUser', () => {
  const tenant = someTenant('acme', { authQuery: { cacheTtlMs: 0, negativeTtlMs: 0 } });

  it('is followed by a new password only when somebody has proved to know it', () => {
    const first = found('ann', 'first');
    assert.equal(first.proved(), false, 'there was none before');
    const second = found('ann', 'second', first);
    assert.equal(first.newest, first);
    assert.equal(second.proved(), true);
    assert.equal(first.newest, second);
    assert.equal(second.proved(), false, 'once');
  });

  it('leaves out passwords between that nobody has proved to know', () => {
    const first = found('ann', 'first');
    first.proved();
    const second = found('ann', 'second', first);
    const third = found('ann', 'third', second);
    third.proved();
    assert.equal(first.newest, third);
    assert.equal(second.newest, second);
  });

  it('is itself under a later config, and the one whom that names', () => {
    const ann = found('ann');
    const member = ann.accountIn(tenant).member();
    assert.equal(member.accountIn(tenant)?.found, ann);
    const later = someTenant('acme', { authQuery: { cacheTtlMs: 1, negativeTtlMs: 0 } });
    assert.equal(member.accountIn(later)?.found, ann);
    const password = { kind: 'env', name: 'ANN' } as const;
    const listing = someTenant('acme', { users: [{ name: 'ann', password }] });
    assert.equal(member.accountIn(listing)?.found, undefined);
    assert.equal(member.accountIn(listing)?.name, 'ann');
    assert.equal(member.accountIn(someTenant('acme')), undefined);
  });

  it('has the limits that the config gives a user of its name', () => {
    const users = [{ name: 'ann', maxConnections: 3, poolMode: 'session' }] as const;
    const limited = someTenant('acme', { users: [...users], authQuery: tenant.authQuery });
    const account = found('ann').accountIn(limited);
    assert.equal(account.maxConnections, 3);
    assert.equal(account.poolMode, 'session');
    assert.equal(found('bob').accountIn(limited).maxConnections, undefined);
  });
});
