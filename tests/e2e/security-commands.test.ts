/** The commands that print what NATS users may do and what signatures are checked with. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { natsGrants, natsPermissionsText } from '@dbbouncer/shared/contract/nats-grants.ts';
import { dbbouncer } from '../support/processes.ts';
import { scratchOfTest } from '../support/scratch.ts';

describe('dbbouncer nats-grants', () => {
  it('prints what nats.conf has for the plane, of a proxy with its own subjects', async () => {
    const [ofAll, ofOne, ofNone] = await Promise.all([
      dbbouncer(['nats-grants', 'control-plane']).ended(),
      dbbouncer(['nats-grants', 'proxy', '--proxy-id', 'eu-1']).ended(),
      dbbouncer(['nats-grants', 'proxy', '--proxy-id', 'eu.1']).ended(),
    ]);
    assert.equal(ofAll.stdout, `${natsPermissionsText(natsGrants('control_plane'))}\n`);
    assert.equal(ofOne.stdout, `${natsPermissionsText(natsGrants('proxy', 'eu-1'))}\n`);
    assert.match(ofOne.stdout, /"dbbouncer\.report\.eu-1"/);
    assert.doesNotMatch(ofOne.stdout, /dbbouncer\.(report|probe)\.\*|EVENTS|config\.delta/);
    assert.match(ofNone.stderr, /"eu\.1" is no id of a proxy/);
  });
});

describe('dbbouncer public-key', () => {
  it('prints the public half of the key file, or of what the master key stands for', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const folder = mkdtempSync(join((await scratchOfTest()).path, 'public-key-'));
    const keyFile = join(folder, 'key.pem');
    writeFileSync(keyFile, privateKey.export({ format: 'pem', type: 'pkcs8' }));
    const print = (env: Readonly<Record<string, string>>) =>
      dbbouncer(['public-key', '--data-dir', folder], { env }).ended();
    const masterKey = { DBBOUNCER_MASTER_KEY: 'a master key for tests only' };
    const [fromFile, derived, again, missing] = await Promise.all([
      print({ DBBOUNCER_CONFIG_SIGNING_KEY_FILE: keyFile, ...masterKey }),
      print(masterKey),
      print({ DBBOUNCER_MASTER_KEY: 'another master key of tests' }),
      print({}),
    ]);
    assert.equal(fromFile.stdout, publicKey.export({ format: 'pem', type: 'spki' }));
    assert.match(derived.stdout, /^-----BEGIN PUBLIC KEY-----\n.{60}\n-----END PUBLIC KEY-----\n$/);
    assert.notEqual(again.stdout, derived.stdout);
    assert.match(missing.stderr, /there is no master key at .*master\.key/);
  });
});
