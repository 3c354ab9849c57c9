/** Many clients that log in and then say nothing. */
import { RawClient } from '../support/raw-client.ts';
import type { Contender } from './contender.ts';

export interface IdleClients {
  close(): Promise<void>;
}

/** Logins at a time: each costs the pooler and us a proof. */
const AT_ONCE = 20;

export async function openIdleClients(contender: Contender, count: number): Promise<IdleClients> {
  const clients: RawClient[] = [];
  while (clients.length < count) {
    const logins = Array.from({ length: Math.min(AT_ONCE, count - clients.length) }, () =>
      RawClient.login(contender, contender.login),
    );
    clients.push(...(await Promise.all(logins)));
  }
  return { close: async () => void (await Promise.all(clients.map(closed))) };
}

function closed({ socket }: RawClient): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => resolve());
    socket.destroy();
  });
}
