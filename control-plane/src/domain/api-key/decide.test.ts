/** The rules of API keys: given events, when a command, then events or a refusal. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ControlErrorCode } from '../../errors.ts';
import type { ApiKeyCommand } from './commands.ts';
import { API_KEY_LIMITS, decideApiKey } from './decide.ts';
import type { OtherKeys } from './decide.ts';
import type { ApiKey, ApiKeyEvent } from './events.ts';
import { evolveApiKey, NO_KEY } from './state.ts';

const NOW = '2026-05-01T12:00:00.000Z';
const LATER = '2026-05-01T12:00:00.001Z';
const key: ApiKey = Object.freeze({
  id: '0123456789ab',
  name: 'deploy',
  scope: 'operator',
  tenants: null,
  expiresAt: null,
  prefix: 'dbb_Zm9v',
  proof: { hash: 'scrypt$…', verifier: 'SCRAM-SHA-256$…' },
});
const created: ApiKeyEvent = { type: 'ApiKeyCreated', data: { key } };
const revoked: ApiKeyEvent = { type: 'ApiKeyRevoked', data: {} };

const create = (fields: Partial<ApiKey> = {}): ApiKeyCommand => ({
  kind: 'create_api_key',
  key: { ...key, ...fields },
  at: NOW,
});
const update = (changes: Partial<ApiKey>): ApiKeyCommand => ({
  kind: 'update_api_key',
  id: key.id,
  changes,
  at: NOW,
});
const revoke: ApiKeyCommand = { kind: 'revoke_api_key', id: key.id };

function given(...events: readonly ApiKeyEvent[]) {
  return {
    when: (command: ApiKeyCommand, others: Partial<OtherKeys> = {}) => {
      const state = events.reduce(evolveApiKey, NO_KEY);
      const all = { live: 0, samePrefix: 0, sameName: 0, ...others };
      const decide = () => decideApiKey(command, state, all);
      return {
        thenEvents: (...expected: readonly ApiKeyEvent[]) => assert.deepEqual(decide(), expected),
        thenRefused: (code: ControlErrorCode, message = /./) =>
          assert.throws(decide, { code, message }),
      };
    },
  };
}

describe('create_api_key', () => {
  it('records what recognises the key and what it may', () => {
    given().when(create()).thenEvents(created);
  });

  it('refuses the name of another live key', () => {
    given()
      .when(create(), { sameName: 1 })
      .thenRefused('API_KEY_EXISTS', /"deploy"/);
  });

  it('refuses an id that was used before, also by a revoked key', () => {
    given(created).when(create()).thenRefused('API_KEY_EXISTS');
    given(created, revoked).when(create()).thenRefused('API_KEY_EXISTS');
  });

  it('refuses the 1001st live key and the 9th that begins alike, with both numbers', () => {
    const { liveMax, samePrefixMax } = API_KEY_LIMITS;
    assert.deepEqual([liveMax, samePrefixMax], [1_000, 8]);
    given().when(create(), { live: 999, samePrefix: 7 }).thenEvents(created);
    given()
      .when(create(), { live: 1_000 })
      .thenRefused('API_KEYS_FULL', /1000 API keys are live; at most 1000/);
    given()
      .when(create(), { live: 8, samePrefix: 8 })
      .thenRefused('API_KEYS_FULL', /8 live API keys begin with "dbb_Zm9v"; at most 8/);
  });

  it('refuses an expiry that is not in the future', () => {
    for (const expiresAt of ['2025-01-01T00:00:00.000Z', NOW]) {
      given()
        .when(create({ expiresAt }))
        .thenRefused('VALIDATION_FAILED', /is over already/);
    }
    const later = { ...key, expiresAt: LATER };
    given()
      .when(create({ expiresAt: LATER }))
      .thenEvents({ type: 'ApiKeyCreated', data: { key: later } });
  });
});

describe('update_api_key', () => {
  it('records what differs alone, and nothing when nothing does', () => {
    given(created)
      .when(update({ name: 'deploy', scope: 'viewer', tenants: 'acme-*' }))
      .thenEvents({
        type: 'ApiKeyUpdated',
        data: { changes: { scope: 'viewer', tenants: 'acme-*' } },
      });
    given(created)
      .when(update({ name: 'deploy', tenants: null }))
      .thenEvents();
  });

  it('takes back a pattern and an expiry', () => {
    const changed: ApiKeyEvent = {
      type: 'ApiKeyUpdated',
      data: { changes: { tenants: 'a*', expiresAt: LATER } },
    };
    const changes = { tenants: null, expiresAt: null };
    given(created, changed)
      .when(update(changes))
      .thenEvents({ type: 'ApiKeyUpdated', data: { changes } });
  });

  it('refuses the name of another live key, but does not mind it where the name stays', () => {
    given(created)
      .when(update({ name: 'other' }), { sameName: 1 })
      .thenRefused('API_KEY_EXISTS');
    given(created)
      .when(update({ scope: 'admin' }), { sameName: 1 })
      .thenEvents({ type: 'ApiKeyUpdated', data: { changes: { scope: 'admin' } } });
  });

  it('refuses an expiry that is over', () => {
    given(created)
      .when(update({ expiresAt: NOW }))
      .thenRefused('VALIDATION_FAILED');
  });

  it('refuses a key that is not there, and one that is revoked', () => {
    given()
      .when(update({ name: 'x' }))
      .thenRefused('API_KEY_NOT_FOUND');
    given(created, revoked)
      .when(update({ name: 'x' }))
      .thenRefused('API_KEY_REVOKED');
  });
});

describe('revoke_api_key', () => {
  it('ends a live key, and changes nothing about a revoked one', () => {
    given(created).when(revoke).thenEvents(revoked);
    given(created, revoked).when(revoke).thenEvents();
    given().when(revoke).thenRefused('API_KEY_NOT_FOUND');
  });
});
