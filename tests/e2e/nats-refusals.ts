/** What a NATS user must not do, tried; and whether a tenant is served, for tests of grants. */
import assert from 'node:assert/strict';
import type { NatsConnection } from '@nats-io/transport-node';
import { Client } from 'pg';

/** The user may not publish there, whether or not somebody would answer. */
export async function refusesToPublish(connection: NatsConnection, subject: string): Promise<void> {
  const outcome = await connection.request(subject, '{}', { timeout: 2_000 }).then(
    (answer) => `answered: ${answer.string()}`,
    (error: Error) => error.message,
  );
  assert.match(outcome, /permission/i, subject);
}

export async function refusesToListen(connection: NatsConnection, subject: string): Promise<void> {
  assert.match(await firstError(connection.subscribe(subject)), /permission/i, subject);
}

async function firstError(messages: AsyncIterable<unknown>): Promise<string> {
  try {
    for await (const message of messages) return `heard ${JSON.stringify(message)}`;
    return 'ended without a word';
  } catch (error) {
    return (error as Error).message;
  }
}

/** 42, asked through the proxy, as soon as it knows the tenant `acme` of user `postgres`. */
export async function answerWithin(timeoutMs: number, port: number): Promise<unknown> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const client = new Client({
      host: '127.0.0.1',
      port,
      user: 'postgres',
      password: 'secret',
      database: 'postgres',
      options: '-c tenant_id=acme',
    });
    client.on('error', () => {});
    try {
      await client.connect();
      return (await client.query('SELECT 42 AS answer')).rows[0].answer;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    } finally {
      await client.end().catch(() => {});
    }
  }
}
