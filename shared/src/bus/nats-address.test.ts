/** NATS URLs as operators write them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sharedErrors } from '../errors.ts';
import { parseNatsAddress } from './nats-address.ts';

describe('parseNatsAddress', () => {
  it('reads host and port, with and without the scheme, and adds port 4222', () => {
    for (const text of ['nats://n1:4222', 'n1:4222', 'nats://n1', 'n1', ' nats://n1/ ']) {
      assert.deepEqual(parseNatsAddress(text), {
        servers: ['n1:4222'],
        tls: 'when_offered',
        credentials: undefined,
      });
    }
  });

  it('reads several servers, IPv6 among them', () => {
    const { servers } = parseNatsAddress('nats://n1:4222, nats://[::1]:4333,n3');
    assert.deepEqual(servers, ['n1:4222', '[::1]:4333', 'n3:4222']);
  });

  it('requires TLS when any server says tls://', () => {
    assert.equal(parseNatsAddress('nats://n1,tls://n2').tls, 'required');
  });

  it('takes user and password, or a token, out of the URL', () => {
    const withPassword = parseNatsAddress('nats://ada:p%40ss%2Fw@n1:4222');
    assert.deepEqual(withPassword.servers, ['n1:4222']);
    assert.deepEqual(withPassword.credentials, {
      kind: 'password',
      user: 'ada',
      password: 'p@ss/w',
    });
    assert.deepEqual(parseNatsAddress('n0,nats://s3cret@n1').credentials, {
      kind: 'token',
      token: 's3cret',
    });
  });

  it('refuses what is no NATS URL and never repeats its credentials', () => {
    const texts = ['', ' , ', 'http://n1', 'nats://', 'nats://n1:99999', 'nats://ada:pw@n1/path'];
    for (const text of texts) {
      assert.throws(
        () => parseNatsAddress(text),
        (error) =>
          sharedErrors.is(error) &&
          error.code === 'SETTINGS_INVALID' &&
          !error.message.includes('pw'),
        text,
      );
    }
  });
});
