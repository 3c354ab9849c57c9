/** Stored credentials: their forms, and what of them lives over a swap. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Secret } from '@dbbouncer/shared/contract/secret.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { someTenant } from '../routing/testing.ts';
import { md5Answer, md5Verifier } from '../wire/postgres/md5.ts';
import { deriveKeys, formatVerifier, verifierFromKeys } from '../wire/postgres/scram.ts';
import { Credential, UnfitCredential } from './credential.ts';
import { CredentialStore } from './credentials.ts';

const SALT = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');
const keys = await deriveKeys('pencil', SALT, 4096);
const VERIFIER = formatVerifier(verifierFromKeys(keys, SALT, 4096));

/** Secrets are variables whose values are in `values`. */
function storeOf(values: Record<string, string>): CredentialStore {
  return new CredentialStore({
    open: (secret: Secret) => {
      const value = secret.kind === 'env' ? values[secret.name] : undefined;
      if (value === undefined) throw new Error('not there');
      return value;
    },
  });
}

const withPassword = (name: string): TenantConfig =>
  someTenant('acme', { password: { kind: 'env', name } });

describe('CredentialStore', () => {
  it('keeps the credential, and what it has learned, when the same text is sealed anew', () => {
    const store = storeOf({
      OLD: VERIFIER,
      NEW: VERIFIER,
      OTHER: VERIFIER.replace('4096', '4097'),
    });
    const [before, after, changed] = [
      withPassword('OLD'),
      withPassword('NEW'),
      withPassword('OTHER'),
    ];
    const credential = store.of(before, before.password);
    credential.learn(keys.clientKey);
    store.inherit(before, after);
    assert.equal(store.of(after, after.password), credential);
    store.inherit(after, changed);
    assert.equal(store.of(changed, changed.password).readiness, 'waiting_for_login');
    assert.notEqual(store.of(changed, changed.password).fingerprint, credential.fingerprint);
  });

  it('tries a secret again that could not be opened at the swap', () => {
    const values: Record<string, string> = { OLD: 'pencil' };
    const store = storeOf(values);
    const [before, after] = [withPassword('OLD'), withPassword('NEW')];
    store.of(before, before.password);
    store.inherit(before, after);
    assert.throws(() => store.of(after, after.password));
    values['NEW'] = 'pencil';
    assert.equal(store.of(after, after.password).kind, 'password');
  });
});

describe('a SCRAM verifier', () => {
  it('waits for a login, then gives the keys under its own salt and iterations alone', async () => {
    const credential = new Credential(VERIFIER);
    assert.equal(credential.readiness, 'waiting_for_login');
    await assert.rejects(credential.keys(SALT, 4096), UnfitCredential);
    credential.learn(keys.clientKey);
    assert.equal(credential.readiness, 'ready');
    assert.deepEqual(await credential.keys(SALT, 4096), keys);
    await assert.rejects(credential.keys(SALT, 4097), UnfitCredential);
    await assert.rejects(credential.keys(Buffer.alloc(16), 4096), UnfitCredential);
    assert.throws(() => credential.password(), UnfitCredential);
    assert.throws(() => credential.md5Verifier('app'), UnfitCredential);
  });

  it('learns from a password in clear that fits, and from no other', async () => {
    const credential = new Credential(VERIFIER);
    assert.equal(await credential.fitsCleartext('app', 'pencils'), false);
    assert.equal(await credential.fitsCleartext('app', ''), false);
    assert.equal(credential.readiness, 'waiting_for_login');
    assert.equal(await credential.fitsCleartext('app', 'pencil'), true);
    assert.deepEqual(await credential.keys(SALT, 4096), keys);
  });

  it('does not let an md5 answer pass', () => {
    const salt = Buffer.from('salt');
    const answer = md5Answer(md5Verifier('app', 'pencil'), salt);
    assert.equal(new Credential(VERIFIER).fitsMd5('app', answer, salt), false);
    assert.equal(new Credential('pencil').fitsMd5('app', answer, salt), true);
  });
});

describe('an md5 verifier', () => {
  const credential = new Credential(md5Verifier('app', 'pencil'));

  it('checks md5 answers and passwords in clear, and no SCRAM proof', async () => {
    const salt = Buffer.from('salt');
    assert.equal(await credential.verifier(SALT), undefined);
    for (const [password, fits] of [
      ['pencil', true],
      ['pencils', false],
      ['', false],
    ] as const) {
      const answer = md5Answer(md5Verifier('app', password), salt);
      assert.equal(credential.fitsMd5('app', answer, salt), fits);
      assert.equal(await credential.fitsCleartext('app', password), fits);
    }
  });

  it('is ready, for servers that ask for md5 alone', async () => {
    assert.equal(credential.readiness, 'ready');
    assert.equal(credential.md5Verifier('app'), md5Verifier('app', 'pencil'));
    await assert.rejects(credential.keys(SALT, 4096), UnfitCredential);
    assert.throws(() => credential.password(), UnfitCredential);
  });
});

describe('a password', () => {
  it('is compared as SASLprep has it, and as it is where SASLprep forbids it', async () => {
    assert.equal(await new Credential('I\u00ADX').fitsCleartext('app', 'IX'), true);
    assert.equal(await new Credential('\u0007').fitsCleartext('app', '\u0007'), true);
    assert.equal(await new Credential('\u0007').fitsCleartext('app', '\u0008'), false);
  });
});
