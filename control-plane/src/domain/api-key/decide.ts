/**
 * The rules of API keys, as pure functions from a command and the state it finds to events.
 */
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import { controlErrors } from '../../errors.ts';
import type { ApiKeyCommand } from './commands.ts';
import { apiKeyIdOf } from './commands.ts';
import type { ApiKey, ApiKeyChanges, ApiKeyEvent } from './events.ts';
import type { ApiKeyState } from './state.ts';

export const API_KEY_LIMITS = Object.freeze({
  /** Live keys; the next is refused with API_KEYS_FULL. */
  liveMax: 1_000,
  /** Live keys that begin alike: as many slow hashes a presented key can cost. */
  samePrefixMax: 8,
});

/** The other live keys, as far as they matter to a decision. */
export interface OtherKeys {
  readonly live: number;
  readonly samePrefix: number;
  readonly sameName: number;
}

/**
 * What `command` makes happen; nothing when it changes nothing.
 * @param others live keys but this one, counted against the name and prefix it is to have.
 * @throws API_KEY_NOT_FOUND, API_KEY_EXISTS, API_KEY_REVOKED, API_KEYS_FULL, VALIDATION_FAILED
 */
export function decideApiKey(
  command: ApiKeyCommand,
  state: ApiKeyState,
  others: OtherKeys,
): readonly ApiKeyEvent[] {
  if (command.kind === 'create_api_key') {
    if (state.status !== 'absent') throw taken(`An API key has the id ${command.key.id} already.`);
    requireRoom(others, command.key);
    requireFreeName(others, command.key.name);
    requireFuture(command.key.expiresAt, command.at);
    return [{ type: 'ApiKeyCreated', data: { key: command.key } }];
  }
  if (state.status === 'absent') {
    throw controlErrors.fail('API_KEY_NOT_FOUND', `No API key has the id ${apiKeyIdOf(command)}.`);
  }
  switch (command.kind) {
    case 'update_api_key': {
      if (state.status === 'revoked') throw revoked(state.key);
      const changes = changesOf(state.key, command.changes);
      if (Object.keys(changes).length === 0) return [];
      if (changes.name !== undefined) requireFreeName(others, changes.name);
      requireFuture(changes.expiresAt, command.at);
      return [{ type: 'ApiKeyUpdated', data: { changes } }];
    }
    case 'revoke_api_key':
      return state.status === 'revoked' ? [] : [{ type: 'ApiKeyRevoked', data: {} }];
    default:
      return unreachable(command);
  }
}

/** What is given and not so already. */
function changesOf(key: ApiKey, wanted: ApiKeyChanges): ApiKeyChanges {
  const changed = Object.entries(wanted).filter(
    ([name, value]) => value !== undefined && value !== key[name as keyof ApiKeyChanges],
  );
  return Object.fromEntries(changed);
}

function requireRoom({ live, samePrefix }: OtherKeys, { prefix }: ApiKey): void {
  const { liveMax, samePrefixMax } = API_KEY_LIMITS;
  if (live >= liveMax) {
    throw controlErrors.fail(
      'API_KEYS_FULL',
      `${live} API keys are live; at most ${liveMax} may.`,
      {
        hint: 'Revoke those that nobody uses; last_used_at says which.',
      },
    );
  }
  if (samePrefix >= samePrefixMax) {
    throw controlErrors.fail(
      'API_KEYS_FULL',
      `${samePrefix} live API keys begin with "${prefix}"; at most ${samePrefixMax} may.`,
      { hint: 'Let the key be generated, or choose one with another beginning.' },
    );
  }
}

function requireFreeName({ sameName }: OtherKeys, name: string): void {
  if (sameName > 0) throw taken(`A live API key is called "${name}" already.`);
}

/** Both are written alike, so that their order as text is their order in time. */
function requireFuture(expiresAt: string | null | undefined, at: string): void {
  if (expiresAt === null || expiresAt === undefined || expiresAt > at) return;
  throw controlErrors.fail('VALIDATION_FAILED', `expires_at (${expiresAt}) is over already.`, {
    hint: 'To end a key now, revoke it.',
  });
}

function taken(message: string): Error {
  return controlErrors.fail('API_KEY_EXISTS', message);
}

function revoked({ name }: ApiKey): Error {
  return controlErrors.fail('API_KEY_REVOKED', `The API key "${name}" is revoked for good.`, {
    hint: 'Create another one.',
  });
}
