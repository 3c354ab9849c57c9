/** Whom a client certificate speaks for, name by name. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PeerCertificate } from 'node:tls';
import { CertificateUsers, namesOf } from './certificate-users.ts';

const claim = { tenant: 'Acme', user: 'app', presentedUser: 'acme__app' };

function vouching(names: readonly string[], setting?: string, claimed = claim): string {
  return new CertificateUsers(setting).vouching(names, claimed);
}

describe('a name in a certificate', () => {
  it('stands for the password when it is tenant__user, the tenant in any case', () => {
    assert.equal(vouching(['acme__app']), 'alone');
    assert.equal(vouching(['nobody', 'ACME__app']), 'alone');
    assert.equal(vouching(['acme__APP']), 'not');
    assert.equal(vouching(['globex__app']), 'not');
  });

  it('only goes beside the password when it is the bare user', () => {
    assert.equal(vouching(['app']), 'beside_password');
    assert.equal(vouching(['App']), 'not');
    const dotted = { tenant: 'acme', user: 'app', presentedUser: 'app.acme' };
    assert.equal(vouching(['app.acme'], undefined, dotted), 'beside_password');
  });

  it('cannot hold a wildcard by itself', () => {
    for (const name of ['*', 'acme__*', '*__app']) assert.equal(vouching([name]), 'not', name);
  });

  it('ends its tenant at the first "__"', () => {
    const left = { tenant: 'a', user: '_b', presentedUser: '_b' };
    const right = { tenant: 'a_', user: 'b', presentedUser: 'b' };
    assert.equal(vouching(['a___b'], undefined, left), 'alone');
    assert.equal(vouching(['a___b'], undefined, right), 'not');
  });
});

describe('tls_client_cert_users', () => {
  it('gives a name users, of one tenant or of all', () => {
    for (const users of ['acme__app', 'acme__*', '*__app', '*']) {
      assert.equal(vouching(['batch'], `batch=${users}`), 'alone', users);
    }
    assert.equal(vouching(['batch'], 'batch=app'), 'beside_password');
    assert.equal(vouching(['batch'], 'batch=globex__*'), 'not');
  });

  it('takes names with blanks, and several users for one name', () => {
    const setting = 'The Batch = globex__app, The Batch=acme__app';
    assert.equal(vouching(['The Batch'], setting), 'alone');
  });

  it('takes from a listed name what it would stand for by itself', () => {
    assert.equal(vouching(['acme__app'], 'acme__app=globex__app'), 'not');
    assert.equal(vouching(['acme__app', 'other'], 'other=globex__app'), 'alone');
  });
});

describe('namesOf', () => {
  const names = (CN: string | string[] | undefined, subjectaltname?: string) =>
    namesOf({ subject: { CN }, subjectaltname } as unknown as PeerCertificate);

  it('gives the common name and the DNS, e-mail and URI names', () => {
    const alternatives = 'DNS:a.test, email:b@c.test, IP Address:10.0.0.1, URI:spiffe://d/e';
    assert.deepEqual(names('app', alternatives), ['app', 'a.test', 'b@c.test', 'spiffe://d/e']);
  });

  it('gives no common name when there are two', () => {
    assert.deepEqual(names(['app', 'admin']), []);
    assert.deepEqual(names(undefined), []);
  });

  it('takes nothing out of a quoted name', () => {
    const quoted = String.raw`URI:"x, DNS:admin, \", DNS:admin", DNS:app`;
    assert.deepEqual(names(undefined, quoted), ['app']);
    assert.deepEqual(names(undefined, 'DNS:"broken, DNS:admin'), []);
  });
});
