/**
 * SCRAM-SHA-256 in both roles: the RFC's own exchange, each role against the other, and what is
 * refused.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  deriveKeys,
  mockVerifier,
  SCRAM_SHA_256,
  SCRAM_SHA_256_PLUS,
  scramNonce,
  verifierFromKeys,
} from '@dbbouncer/data-plane/wire/postgres/scram.ts';
import type { ScramKeys } from '@dbbouncer/data-plane/wire/postgres/scram.ts';
import { chooseMechanism, ScramClient } from '@dbbouncer/data-plane/wire/postgres/scram-client.ts';
import type { ScramClientOptions } from '@dbbouncer/data-plane/wire/postgres/scram-client.ts';
import { ScramServer } from '@dbbouncer/data-plane/wire/postgres/scram-server.ts';
import type { ScramServerOptions } from '@dbbouncer/data-plane/wire/postgres/scram-server.ts';
import { WireError } from '@dbbouncer/data-plane/wire/wire-error.ts';

// RFC 7677 §3
const CLIENT_NONCE = 'rOprNGfwEbeRWgbNEkqO';
const SERVER_NONCE = '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0';
const SALT = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');
const ITERATIONS = 4096;
const CLIENT_FIRST = `n,,n=user,r=${CLIENT_NONCE}`;
const SERVER_FIRST = `r=${CLIENT_NONCE}${SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`;
const PROOF = 'dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=';
const CLIENT_FINAL = `c=biws,r=${CLIENT_NONCE}${SERVER_NONCE},p=${PROOF}`;
const SERVER_FINAL = 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=';

const END_POINT = Buffer.alloc(32, 0xcd);
const keys = await deriveKeys('pencil', SALT, ITERATIONS);
const verifier = verifierFromKeys(keys, SALT, ITERATIONS);

const serverOf = (options: Partial<ScramServerOptions> = {}) =>
  new ScramServer({ mechanism: SCRAM_SHA_256, verifier, nonce: SERVER_NONCE, ...options });
const clientOf = (options: Partial<ScramClientOptions> = {}) =>
  new ScramClient({
    binding: { kind: 'none' },
    nonce: CLIENT_NONCE,
    keysFor: (salt, iterations) => deriveKeys('pencil', salt, iterations),
    ...options,
  });
const raw = (text: string) => Buffer.from(text);

/** Runs a whole exchange; the client must be satisfied with the server, too. */
async function exchange(client: ScramClient, server: ScramServer) {
  const serverFirst = server.first(raw(client.first()));
  const verdict = server.final(raw(await client.final(raw(serverFirst))));
  if (verdict.outcome === 'accepted') client.verify(raw(verdict.serverFinal));
  return verdict;
}

describe('the exchange of RFC 7677', () => {
  it('is what the client role says, and satisfies it', async () => {
    const client = clientOf({ user: 'user' });
    assert.equal(client.first(), CLIENT_FIRST);
    assert.equal(await client.final(raw(SERVER_FIRST)), CLIENT_FINAL);
    client.verify(raw(SERVER_FINAL));
  });

  it('is what the server role says, which recovers the ClientKey from the proof', () => {
    const server = serverOf();
    assert.equal(server.first(raw(CLIENT_FIRST)), SERVER_FIRST);
    const verdict = server.final(raw(CLIENT_FINAL));
    assert.ok(verdict.outcome === 'accepted');
    assert.equal(verdict.serverFinal, SERVER_FINAL);
    assert.deepEqual(verdict.clientKey, keys.clientKey);
  });
});

describe('client and server role, against each other', () => {
  it('agree with every channel binding, and on the password alone', async () => {
    const bound = { kind: 'tls-server-end-point', data: END_POINT } as const;
    const cases: [Partial<ScramClientOptions>, Partial<ScramServerOptions>][] = [
      [{ binding: { kind: 'none' } }, {}],
      [{ binding: { kind: 'none' } }, { endPoint: END_POINT }],
      [{ binding: { kind: 'not_offered' } }, {}],
      [{ binding: bound }, { mechanism: SCRAM_SHA_256_PLUS, endPoint: END_POINT }],
    ];
    for (const [client, server] of cases) {
      assert.equal((await exchange(clientOf(client), serverOf(server))).outcome, 'accepted');
    }
    const wrong = { keysFor: (salt: Buffer, i: number) => deriveKeys('pencils', salt, i) };
    assert.deepEqual(await exchange(clientOf(wrong), serverOf()), { outcome: 'refused' });
  });

  it('log in with keys recovered from an earlier proof, without the password', async () => {
    const first = await exchange(clientOf(), serverOf());
    assert.ok(first.outcome === 'accepted');
    const recovered: ScramKeys = { clientKey: first.clientKey, serverKey: verifier.serverKey };
    const again = clientOf({ keysFor: () => recovered, nonce: 'another' });
    assert.equal((await exchange(again, serverOf({ nonce: 'third' }))).outcome, 'accepted');
  });

  it('carry a user name with commas and equals signs', async () => {
    const client = clientOf({ user: 'a=b,c' });
    assert.match(client.first(), /^n,,n=a=3Db=2Cc,r=/);
    assert.equal((await exchange(clientOf({ user: 'a=b,c' }), serverOf())).outcome, 'accepted');
  });

  it('refuse a channel bound to another certificate', async () => {
    const data = Buffer.alloc(32, 0xff);
    const client = clientOf({ binding: { kind: 'tls-server-end-point', data } });
    const server = serverOf({ mechanism: SCRAM_SHA_256_PLUS, endPoint: END_POINT });
    await assert.rejects(exchange(client, server), /SCRAM client-final-message: the channel is/);
  });

  it('notice when the offer of -PLUS was taken away on the way', async () => {
    const client = clientOf({ binding: { kind: 'not_offered' } });
    const server = serverOf({ endPoint: END_POINT });
    await assert.rejects(exchange(client, server), /offer of channel binding did not arrive/);
  });
});

describe('ScramServer', () => {
  const refusesFirst = (message: string, text: RegExp, options?: Partial<ScramServerOptions>) =>
    assert.throws(
      () => serverOf(options).first(raw(message)),
      (error) => {
        assert.ok(error instanceof WireError);
        assert.match(error.reason, text);
        return true;
      },
    );
  const refusesFinal = (message: string, text: RegExp) => {
    const server = serverOf();
    server.first(raw(CLIENT_FIRST));
    assert.throws(() => server.final(raw(message)), text);
  };

  it('refuses a gs2 header that does not go with the chosen mechanism', () => {
    const plus = { mechanism: SCRAM_SHA_256_PLUS, endPoint: END_POINT } as const;
    refusesFirst('p=tls-server-end-point,,n=,r=x', /SCRAM-SHA-256 was chosen, and channel binding/);
    refusesFirst('n,,n=,r=x', /PLUS was chosen, and no channel binding/, plus);
    refusesFirst('y,,n=,r=x', /PLUS was chosen, and no channel binding/, plus);
    refusesFirst('p=tls-unique,,n=,r=x', /only channel binding is tls-server-end-point/, plus);
    refusesFirst('p=,,n=,r=x', /only channel binding is tls-server-end-point/, plus);
  });

  it('refuses an authorization identity, and mandatory extensions anywhere', () => {
    refusesFirst('n,a=admin,n=user,r=x', /authorization identity is not supported/);
    refusesFirst('n,,m=ext,n=user,r=x', /mandatory extension is not supported/);
    const nonce = CLIENT_NONCE + SERVER_NONCE;
    refusesFinal(`c=biws,r=${nonce},m=ext,p=AAAA`, /mandatory extension is not supported/);
  });

  it('refuses a client-first-message that is out of order, incomplete, or not printable', () => {
    for (const message of ['', 'n', 'n,', 'x,,n=,r=x', 'n=,r=x', 'p=tls-server-end-point']) {
      refusesFirst(message, /no gs2 header/);
    }
    refusesFirst('n,,', /no attribute at character 3/);
    refusesFirst('n,,r=x,n=', /attribute "n" expected, "r" found/);
    refusesFirst('n,,n=user', /no attribute at character 10/);
    refusesFirst('n,,n=user,r=', /nonce is empty or not printable/);
    refusesFirst('n,,n=user,r=a b', /nonce is empty or not printable/);
    refusesFirst('n,,n=user,r=é', /nonce is empty or not printable/);
    refusesFirst('n,,n=user,r=x,', /no attribute at character 14/);
    refusesFirst('n,,n=user,r=x\0', /zero byte at 13 of 14 bytes/);
    refusesFirst(`n,,n=${'u'.repeat(4_100)},r=x`, /4109 bytes, 4096 is the limit/);
  });

  it('takes optional extensions, which then count for the proof', () => {
    const server = serverOf();
    assert.equal(server.first(raw(`${CLIENT_FIRST},x=later`)), SERVER_FIRST);
    assert.deepEqual(server.final(raw(CLIENT_FINAL)), { outcome: 'refused' });
  });

  it('refuses a client-final-message of another exchange', () => {
    const nonce = CLIENT_NONCE + SERVER_NONCE;
    const proof = CLIENT_FINAL.slice(CLIENT_FINAL.indexOf('p='));
    refusesFinal(`c=biws,r=${nonce}x,${proof}`, /nonce is another one/);
    refusesFinal(`c=biws,r=${CLIENT_NONCE},${proof}`, /nonce is another one/);
    refusesFinal(`c=eSws,r=${nonce},${proof}`, /channel is another one/);
    refusesFinal(`r=${nonce},c=biws,${proof}`, /attribute "c" expected, "r" found/);
    refusesFinal(`c=biws,r=${nonce}`, /no attribute at/);
    refusesFinal(`c=biws,r=${nonce},${proof},x=y`, /more follows the proof/);
  });

  it('refuses a proof that is not base64 of 32 bytes', () => {
    const nonce = CLIENT_NONCE + SERVER_NONCE;
    for (const proof of ['', 'AAAA', '!', ' '.repeat(44), 'A'.repeat(43), 'A'.repeat(44)]) {
      refusesFinal(`c=biws,r=${nonce},p=${proof}`, /proof is not base64 of 32 bytes/);
    }
  });

  it('refuses each proof that differs in one bit', () => {
    const at = CLIENT_FINAL.indexOf('p=') + 2;
    const proof = Buffer.from(CLIENT_FINAL.slice(at), 'base64');
    for (let bit = 0; bit < 256; bit += 7) {
      const forged = Buffer.from(proof);
      forged[bit >> 3] = (forged[bit >> 3] as number) ^ (1 << (bit & 7));
      const server = serverOf();
      server.first(raw(CLIENT_FIRST));
      const verdict = server.final(raw(CLIENT_FINAL.slice(0, at) + forged.toString('base64')));
      assert.deepEqual(verdict, { outcome: 'refused' });
    }
  });

  it('computes the proof over the very bytes of the client, UTF-8 or not', async () => {
    const bare = Buffer.concat([raw('n='), Buffer.from([0xff, 0xc3, 0xa9]), raw(',r=abc')]);
    const server = serverOf();
    const serverFirst = server.first(Buffer.concat([raw('n,,'), bare]));
    const { createHash, createHmac } = await import('node:crypto');
    const withoutProof = `c=biws,r=abc${SERVER_NONCE}`;
    const stored = createHash('sha256').update(keys.clientKey).digest();
    const signature = createHmac('sha256', stored)
      .update(bare)
      .update(`,${serverFirst},${withoutProof}`)
      .digest();
    const proof = signature.map((byte, i) => byte ^ (keys.clientKey[i] as number));
    const verdict = server.final(raw(`${withoutProof},p=${Buffer.from(proof).toString('base64')}`));
    assert.equal(verdict.outcome, 'accepted');
  });

  it('speaks each message once, in order', () => {
    const server = serverOf();
    const misuse = { name: 'InvariantViolation' };
    assert.throws(() => server.final(raw(CLIENT_FINAL)), misuse);
    server.first(raw(CLIENT_FIRST));
    assert.throws(() => server.first(raw(CLIENT_FIRST)), misuse);
    server.final(raw(CLIENT_FINAL));
    assert.throws(() => server.final(raw(CLIENT_FINAL)), misuse);
    assert.throws(() => serverOf({ nonce: 'a,b' }), misuse);
    assert.throws(() => serverOf({ nonce: '' }), misuse);
    assert.throws(() => serverOf({ mechanism: SCRAM_SHA_256_PLUS }), misuse);
  });

  it('meets random messages with a WireError or a verdict', () => {
    const text = fc.string({ unit: fc.constantFrom(...'ny,=rcpavm1A+/\0é '.split('')) });
    fc.assert(
      fc.property(text, text, (first, final) => {
        try {
          serverOf().first(raw(first));
        } catch (error) {
          assert.ok(error instanceof WireError, String(error));
        }
        const server = serverOf();
        server.first(raw(CLIENT_FIRST));
        try {
          assert.equal(server.final(raw(final)).outcome, 'refused');
        } catch (error) {
          assert.ok(error instanceof WireError, String(error));
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('ScramClient', () => {
  const refusesFirst = async (message: string, text: RegExp) => {
    const client = clientOf({ keysFor: () => keys });
    client.first();
    await assert.rejects(client.final(raw(message)), (error) => {
      assert.ok(error instanceof WireError);
      assert.match(error.reason, text);
      return true;
    });
  };
  const nonce = CLIENT_NONCE + SERVER_NONCE;

  it('refuses more than 1,000,000 iterations before it derives anything', async () => {
    const of = (count: string) => `r=${nonce},s=eA==,i=${count}`;
    await refusesFirst(of('1000001'), /1000001 iterations, 1000000 is the limit/);
    await refusesFirst(of('9999999999'), /9999999999 iterations, 1000000 is the limit/);
    for (const count of ['0', '-1', '', '1e3', '4096.5', '99999999999', ' 1', '0x10']) {
      await refusesFirst(of(count), /iteration count is not a positive number/);
    }
  });

  it('refuses a nonce that is not its own made longer', async () => {
    await refusesFirst(`r=${CLIENT_NONCE},s=eA==,i=1`, /nonce does not continue ours/);
    await refusesFirst(`r=x${nonce},s=eA==,i=1`, /nonce does not continue ours/);
    await refusesFirst(`r=${nonce}é,s=eA==,i=1`, /nonce is not printable/);
  });

  it('refuses salts that are empty, not base64, or longer than 1,024 bytes', async () => {
    await refusesFirst(`r=${nonce},s=,i=1`, /salt is not base64/);
    await refusesFirst(`r=${nonce},s=e A==,i=1`, /salt is not base64/);
    const long = Buffer.alloc(1_025).toString('base64');
    await refusesFirst(`r=${nonce},s=${long},i=1`, /a salt of 1025 bytes, 1024 is the limit/);
  });

  it('refuses extensions and anything behind the iteration count', async () => {
    await refusesFirst(`m=x,r=${nonce},s=eA==,i=1`, /mandatory extension is not supported/);
    await refusesFirst(`r=${nonce},s=eA==,i=1,x=y`, /more follows the iteration count/);
    await refusesFirst(`r=${nonce},i=1,s=eA==`, /attribute "s" expected, "i" found/);
    await refusesFirst('', /no attribute at character 0/);
  });

  it('refuses a server that cannot prove that it knows the password', async () => {
    const { createHash } = await import('node:crypto');
    const other = createHash('sha256').update('other').digest().toString('base64');
    for (const [message, text] of [
      [`v=${other}`, /the server does not know the password/],
      ['v=AAAA', /the server does not know the password/],
      ['v=', /the server does not know the password/],
      [`${SERVER_FINAL},x=y`, /more follows the signature/],
      ['e=invalid-proof', /the server refused: invalid-proof/],
      ['', /no attribute at character 0/],
    ] as const) {
      const client = clientOf({ user: 'user', keysFor: () => keys });
      client.first();
      await client.final(raw(SERVER_FIRST));
      assert.throws(() => client.verify(raw(message)), text);
      assert.throws(() => client.verify(raw(SERVER_FINAL)), { name: 'InvariantViolation' });
    }
  });

  it('passes on what keysFor throws', async () => {
    const client = clientOf({ keysFor: () => Promise.reject(new Error('sealed')) });
    client.first();
    await assert.rejects(client.final(raw(SERVER_FIRST)), /sealed/);
  });
});

describe('chooseMechanism', () => {
  it('takes -PLUS over TLS when offered, says so when it could have, and knows no others', () => {
    const both = [SCRAM_SHA_256_PLUS, SCRAM_SHA_256];
    assert.deepEqual(chooseMechanism(both, END_POINT), {
      mechanism: SCRAM_SHA_256_PLUS,
      binding: { kind: 'tls-server-end-point', data: END_POINT },
    });
    const plain = (kind: string) => ({ mechanism: SCRAM_SHA_256, binding: { kind } });
    assert.deepEqual(chooseMechanism(both), plain('none'));
    assert.deepEqual(chooseMechanism([SCRAM_SHA_256], END_POINT), plain('not_offered'));
    assert.equal(chooseMechanism([SCRAM_SHA_256_PLUS]), undefined);
    assert.equal(chooseMechanism(['OAUTHBEARER'], END_POINT), undefined);
  });
});

describe('a mock verifier', () => {
  it('looks like any other in the exchange, and no password fits', async () => {
    const mock = mockVerifier(randomBytes(16), ITERATIONS);
    const shape = (first: string) => first.replace(/s=[A-Za-z0-9+/]{22}==/, 's=…');
    const known = serverOf().first(raw(CLIENT_FIRST));
    assert.equal(shape(serverOf({ verifier: mock }).first(raw(CLIENT_FIRST))), shape(known));
    assert.deepEqual(await exchange(clientOf(), serverOf({ verifier: mock })), {
      outcome: 'refused',
    });
  });
});

describe('scramNonce', () => {
  it('makes a nonce both roles take, for any random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 18, maxLength: 18 }), (random) => {
        const nonce = scramNonce(Buffer.from(random));
        assert.equal(serverOf({ nonce }).first(raw('n,,n=,r=x')).startsWith(`r=x${nonce},`), true);
      }),
    );
  });
});
