/** The codec against a real PostgreSQL server, which knows the protocol best. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import * as auth from '@dbbouncer/data-plane/wire/postgres/authentication-messages.ts';
import * as backend from '@dbbouncer/data-plane/wire/postgres/backend-messages.ts';
import { DROP, FrameScanner } from '@dbbouncer/data-plane/wire/postgres/frame-scanner.ts';
import * as frontend from '@dbbouncer/data-plane/wire/postgres/frontend-messages.ts';
import { COLLECT_BYTES_MAX } from '@dbbouncer/data-plane/wire/postgres/limits.ts';
import { md5Answer, md5Verifier } from '@dbbouncer/data-plane/wire/postgres/md5.ts';
import { backendTypeName } from '@dbbouncer/data-plane/wire/postgres/message-types.ts';
import * as result from '@dbbouncer/data-plane/wire/postgres/result-messages.ts';
import {
  deriveKeys,
  formatVerifier,
  parseVerifier,
  scramNonce,
  verifierFromKeys,
} from '@dbbouncer/data-plane/wire/postgres/scram.ts';
import { chooseMechanism, ScramClient } from '@dbbouncer/data-plane/wire/postgres/scram-client.ts';
import {
  encodeCancelRequest,
  encodeSSLRequest,
  encodeStartupMessage,
} from '@dbbouncer/data-plane/wire/postgres/startup-message.ts';
import type { CancelKey } from '@dbbouncer/data-plane/wire/postgres/startup-message.ts';
import { parseOptions } from '@dbbouncer/data-plane/wire/postgres/startup-options.ts';

const { BACKEND } = backend;
const PASSWORD = 'pässwörd Ⅸ';

interface Message {
  readonly type: number;
  readonly body: Buffer;
}

/** One connection that reads whole messages, one after the other. */
class Talk {
  readonly socket: Socket;
  readonly #messages: Message[] = [];
  #arrived: () => void = () => {};

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1');
    const scanner = new FrameScanner({
      handler: {
        needsBody: () => true,
        frame: (type, buffer, start, end) => {
          this.#messages.push({ type, body: Buffer.from(buffer.subarray(start, end)) });
          return DROP;
        },
        forward: () => assert.fail('nothing is forwarded'),
      },
      allowed: backend.BACKEND_TYPES,
      frameBytesMax: COLLECT_BYTES_MAX,
      collectBytesMax: COLLECT_BYTES_MAX,
    });
    this.socket.on('data', (chunk: Buffer) => {
      scanner.push(chunk);
      this.#arrived();
    });
  }

  async next(): Promise<Message> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) return message;
      await new Promise<void>((resolve, reject) => {
        this.#arrived = resolve;
        this.socket.once('close', () => reject(new Error('the server closed the connection')));
      });
    }
  }

  /** Everything up to ReadyForQuery or a FATAL error. */
  async untilReady(): Promise<Message[]> {
    const messages: Message[] = [];
    for (;;) {
      const message = await this.next();
      messages.push(message);
      const { type, body } = message;
      if (type === BACKEND.ReadyForQuery) return messages;
      if (type === BACKEND.ErrorResponse && backend.peekSeverity(body) === 'FATAL') return messages;
    }
  }

  async ask(...frames: readonly Buffer[]): Promise<Message[]> {
    this.socket.write(Buffer.concat(frames));
    return this.untilReady();
  }
}

const names = (messages: readonly Message[]) => messages.map(({ type }) => backendTypeName(type));

function bodyOf(messages: readonly Message[], type: number): Buffer {
  const found = messages.find((message) => message.type === type);
  assert.ok(found !== undefined, `${backendTypeName(type)} in ${names(messages).join()}`);
  return found.body;
}

/**
 * Answers whatever the server asks for. @returns the kinds it asked, and what follows the login.
 */
async function logIn(talk: Talk, user: string): Promise<{ kinds: string[]; rest: Message[] }> {
  const kinds: string[] = [];
  let scram: ScramClient | undefined;
  for (;;) {
    const { type, body } = await talk.next();
    if (type === BACKEND.NegotiateProtocolVersion) {
      kinds.push(JSON.stringify(backend.decodeNegotiateProtocolVersion(body)));
      continue;
    }
    if (type === BACKEND.ErrorResponse) throw new Error(backend.decodeErrorFields(body).message);
    assert.equal(type, BACKEND.Authentication);
    const asked = auth.decodeAuthentication(body);
    kinds.push(asked.kind);
    switch (asked.kind) {
      case 'Ok':
        return { kinds, rest: await talk.untilReady() };
      case 'MD5Password': {
        const answer = md5Answer(md5Verifier(user, PASSWORD), asked.salt);
        talk.socket.write(frontend.encodePasswordMessage(answer));
        break;
      }
      case 'SASL': {
        const choice = chooseMechanism(asked.mechanisms);
        assert.ok(choice !== undefined);
        const nonce = scramNonce(randomBytes(18));
        const keysFor = (salt: Buffer, iterations: number) =>
          deriveKeys(PASSWORD, salt, iterations);
        scram = new ScramClient({ binding: choice.binding, nonce, keysFor });
        talk.socket.write(frontend.encodeSASLInitialResponse(choice.mechanism, scram.first()));
        break;
      }
      case 'SASLContinue':
        assert.ok(scram !== undefined);
        talk.socket.write(frontend.encodeSASLResponse(await scram.final(asked.data)));
        break;
      case 'SASLFinal':
        scram?.verify(asked.data);
        break;
      case 'CleartextPassword':
      case 'unsupported':
        assert.fail(`asked for ${asked.kind}`);
    }
  }
}

describe('a real server', () => {
  let cluster: PostgresCluster;
  const open: Socket[] = [];

  before(async () => {
    cluster = await startPostgresCluster({ superuserPassword: 'x', authMethod: 'md5' });
    await cluster.sql(
      'postgres',
      `SET password_encryption = 'scram-sha-256';
       CREATE ROLE by_scram LOGIN PASSWORD '${PASSWORD}';
       SET password_encryption = md5;
       CREATE ROLE by_md5 LOGIN PASSWORD '${PASSWORD}';`,
    );
  });
  after(async () => {
    for (const socket of open) socket.destroy();
    await cluster.remove();
  });

  const start = (user: string, more: readonly [string, string][] = [], minor = 0): Talk => {
    const talk = new Talk(cluster.port);
    open.push(talk.socket);
    const parameters: [string, string][] = [['user', user], ['database', 'postgres'], ...more];
    talk.socket.write(encodeStartupMessage({ minor, parameters }));
    return talk;
  };

  it('lets the client role in by SCRAM and by md5', async () => {
    const scram = await logIn(start('by_scram'), 'by_scram');
    assert.deepEqual(scram.kinds, ['SASL', 'SASLContinue', 'SASLFinal', 'Ok']);
    assert.deepEqual((await logIn(start('by_md5'), 'by_md5')).kinds, ['MD5Password', 'Ok']);
  });

  it('keeps the verifier that the codec derives from password, salt and iterations', async () => {
    const [row] = await cluster.sql(
      'postgres',
      "SELECT rolpassword AS verifier FROM pg_authid WHERE rolname = 'by_scram'",
    );
    const text = String(row?.['verifier']);
    const stored = parseVerifier(text);
    assert.ok(stored !== undefined);
    const { salt, iterations } = stored;
    const keys = await deriveKeys(PASSWORD, salt, iterations);
    assert.equal(formatVerifier(verifierFromKeys(keys, salt, iterations)), text);
  });

  it('reports parameters, a key of 4 bytes, and the transaction status', async () => {
    const { rest } = await logIn(start('by_scram', [['application_name', 'codec']]), 'by_scram');
    const parameters = rest
      .filter(({ type }) => type === BACKEND.ParameterStatus)
      .map(({ body }) => backend.decodeParameterStatus(body));
    assert.ok(
      parameters.some(({ name, value }) => name === 'application_name' && value === 'codec'),
    );
    assert.equal(
      backend.decodeBackendKeyData(bodyOf(rest, BACKEND.BackendKeyData)).secretKey.length,
      4,
    );
    assert.equal(
      backend.decodeReadyForQuery(bodyOf(rest, BACKEND.ReadyForQuery)),
      backend.TRANSACTION_IDLE,
    );
  });

  it('gives a long key in protocol 3.2, and is cancelled with it', async () => {
    const talk = start('by_scram', [], 2);
    const { kinds, rest } = await logIn(talk, 'by_scram');
    assert.equal(kinds[0], 'SASL');
    const key: CancelKey = backend.decodeBackendKeyData(bodyOf(rest, BACKEND.BackendKeyData));
    assert.equal(key.secretKey.length, 32);
    const answer = talk.ask(frontend.encodeQuery('SELECT pg_sleep(30)'));
    const canceller = connect(cluster.port, '127.0.0.1');
    open.push(canceller);
    const running = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    while ((await cluster.sql('postgres', running)).length === 0) continue;
    canceller.write(encodeCancelRequest(key));
    const error = backend.decodeErrorFields(bodyOf(await answer, BACKEND.ErrorResponse));
    assert.equal(error.code, '57014');
    assert.equal(error.severityNonLocalized, 'ERROR');
  });

  it('negotiates a minor version and protocol options it does not know', async () => {
    const { kinds } = await logIn(start('by_scram', [['_pq_.codec', '1']], 9), 'by_scram');
    assert.deepEqual(JSON.parse(kinds[0] as string), {
      major: 3,
      minor: 2,
      unrecognizedOptions: ['_pq_.codec'],
    });
  });

  it('answers SSLRequest with one letter', async () => {
    const socket = connect(cluster.port, '127.0.0.1');
    open.push(socket);
    socket.write(encodeSSLRequest());
    const [answer] = (await once(socket, 'data')) as [Buffer];
    assert.equal(answer.toString(), 'N');
  });

  it('understands every message of the extended protocol, and is understood', async () => {
    const talk = start('by_scram');
    await logIn(talk, 'by_scram');
    const replies = await talk.ask(
      frontend.encodeParse({ statement: 's', sql: 'SELECT $1 AS a, $2', parameterTypes: [25, 25] }),
      frontend.encodeBind({ portal: 'p', statement: 's', values: ['é', null] }),
      frontend.encodeDescribe({ target: 'portal', name: 'p' }),
      frontend.encodeExecute({ portal: 'p', maxRows: 0 }),
      frontend.encodeClose({ target: 'statement', name: 's' }),
      frontend.encodeFlush(),
      frontend.encodeSync(),
    );
    assert.deepEqual(names(replies), [
      'ParseComplete',
      'BindComplete',
      'RowDescription',
      'DataRow',
      'CommandComplete',
      'CloseComplete',
      'ReadyForQuery',
    ]);
    const [first] = result.decodeRowDescription(bodyOf(replies, BACKEND.RowDescription));
    assert.deepEqual(first, result.textColumn('a'));
    assert.deepEqual(result.decodeDataRow(bodyOf(replies, BACKEND.DataRow)), ['é', null]);
    const tag = result.decodeCommandComplete(bodyOf(replies, BACKEND.CommandComplete));
    assert.equal(tag, 'SELECT 1');
  });

  it('copies rows in and out, and tells a notification', async () => {
    const talk = start('by_scram');
    await logIn(talk, 'by_scram');
    const copied = await talk.ask(
      frontend.encodeQuery('CREATE TEMP TABLE t (a text); COPY t FROM STDIN; COPY t TO STDOUT'),
      frontend.encodeCopyData(Buffer.from('one\ntwo\n')),
      frontend.encodeCopyDone(),
    );
    const copyIn = result.decodeCopyResponse(bodyOf(copied, BACKEND.CopyInResponse));
    assert.deepEqual(copyIn, { format: 'text', columnFormats: ['text'] });
    assert.equal(frontend.decodeCopyData(bodyOf(copied, BACKEND.CopyData)).toString(), 'one\n');
    const failed = await talk.ask(
      frontend.encodeQuery('COPY t FROM STDIN'),
      frontend.encodeCopyFail('enough'),
    );
    const error = backend.decodeErrorFields(bodyOf(failed, BACKEND.ErrorResponse));
    assert.match(error.message, /COPY from stdin failed: enough/);
    const told = await talk.ask(frontend.encodeQuery("LISTEN jobs; NOTIFY jobs, '42'"));
    const { channel, payload } = backend.decodeNotificationResponse(
      bodyOf(told, BACKEND.NotificationResponse),
    );
    assert.deepEqual([channel, payload], ['jobs', '42']);
  });

  it('takes and refuses startup options as the parser does, in the same words', async () => {
    const refused = ['-c', '-c geqo', '--geqo-x', '-c work_mem=4MB shop', '-c =x', '-- x', '-z -y'];
    for (const options of refused) {
      const parsed = parseOptions(options);
      assert.ok(parsed.kind === 'invalid', options);
      const { rest } = await logIn(start('by_scram', [['options', options]]), 'by_scram');
      const { code, message } = backend.decodeErrorFields(bodyOf(rest, BACKEND.ErrorResponse));
      assert.deepEqual([code, message], [parsed.sqlState, parsed.error]);
    }
    const options = String.raw`-c my.a=1 --my.b-c=x\ \\y -cmy.a=2 --`;
    const parsed = parseOptions(options);
    assert.ok(parsed.kind === 'settings');
    const talk = start('by_scram', [['options', options]]);
    await logIn(talk, 'by_scram');
    for (const [name, value] of new Map(parsed.settings.map((s) => [s.name, s.value]))) {
      const replies = await talk.ask(frontend.encodeQuery(`SHOW ${name}`));
      assert.deepEqual(result.decodeDataRow(bodyOf(replies, BACKEND.DataRow)), [value]);
    }
  });
});
