/**
 * The life of one client in a drill: it comes, asks some things, leaves in one of many ways, rests
 * and comes again, until the drill is over.
 * Owns: what clients ask and how they leave. Leaves: waiting to conversation.ts.
 */
import { setTimeout as pause } from 'node:timers/promises';
import {
  bind,
  copyData,
  copyDone,
  describe,
  execute,
  firstColumns,
  frame,
  parse,
  query,
  sync,
} from '../support/raw-client.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import { Conversation, Over, Refusal } from './conversation.ts';
import type { Setting } from './conversation.ts';

export interface LifeOptions extends Setting {
  /** Part of everything it asks: an answer to somebody else is known as such. */
  readonly name: string;
  readonly random: SeededRandom;
  /** It comes for the first time within so long. */
  readonly arrivalMs: number;
  /** It rests up to so long between two things. */
  readonly restMs: number;
  /** The drill is over. */
  readonly over: AbortSignal;
}

type Step = (life: Life, conversation: Conversation) => Promise<void>;

/** Returns when the drill is over and it has left. */
export async function live(options: LifeOptions): Promise<void> {
  const life = new Life(options);
  await life.rest(options.arrivalMs);
  while (!options.over.aborted) {
    await life.visit();
    await life.rest();
  }
}

class Life {
  readonly #options: LifeOptions;
  #asked = 0;

  constructor(options: LifeOptions) {
    this.#options = options;
  }

  async visit(): Promise<void> {
    const { random, tally, over } = this.#options;
    let conversation: Conversation | undefined;
    try {
      conversation = await Conversation.begin(this.#options);
      const steps = random.between(1, 8);
      for (let step = 0; step < steps && !over.aborted; step++) {
        await this.#step(conversation);
        await this.rest();
      }
      const [how, leave] = random.weighted(LEAVES);
      tally.left(how);
      await leave(this, conversation);
    } catch (error) {
      if (error instanceof Refusal) tally.error(error.code);
      else if (!(error instanceof Over)) throw error;
      conversation?.leave('abruptly');
    }
  }

  async #step(conversation: Conversation): Promise<void> {
    const { random, tally, tenant } = this.#options;
    try {
      await random.weighted(STEPS)(this, conversation);
      tally.answered(tenant);
    } catch (error) {
      if (!(error instanceof Refusal) || error.severity === 'FATAL') throw error;
      tally.error(error.code);
      await conversation.recover();
    }
  }

  async rest(upToMs = this.#options.restMs): Promise<void> {
    const { random, over } = this.#options;
    await pause(random.between(0, upToMs), undefined, { signal: over }).catch(() => {});
  }

  /** Something that nobody else asks. */
  token(): string {
    this.#asked += 1;
    return `${this.#options.name}-${this.#asked}`;
  }

  /** The answer must be to the question. */
  expect(answer: string | undefined, asked: string): void {
    if (answer === asked) return;
    this.#options.tally.faults.push(`"${asked}" was answered by "${answer}"`);
  }

  committed(row: string): void {
    this.#options.tally.committed.push(row);
  }
}

const STEPS: readonly (readonly [number, Step])[] = [
  [30, simple],
  [20, extended],
  [15, prepared],
  [20, transaction],
  [5, parameter],
  [4, copy],
  [3, slow],
  [3, failing],
];

async function simple(life: Life, conversation: Conversation): Promise<void> {
  const token = life.token();
  const answer = await conversation.ask('a Query', query(`SELECT '${token}'`));
  life.expect(firstColumns(answer)[0], token);
}

async function extended(life: Life, conversation: Conversation): Promise<void> {
  const token = life.token();
  const batch = [parse('SELECT $1::text'), bind([token]), describe('P'), execute(), sync()];
  const answer = await conversation.ask('a batch', Buffer.concat(batch));
  life.expect(firstColumns(answer)[0], token);
}

/** Ten texts over all clients, so that server connections have some of them already. */
async function prepared(life: Life, conversation: Conversation): Promise<void> {
  const token = life.token();
  const name = `s${token}`;
  const sql = `SELECT $1::text, ${token.length % 10}`;
  await conversation.ask('a Parse', Buffer.concat([parse(sql, name), sync()]));
  const batch = [bind([token], name), execute(), sync()];
  const answer = await conversation.ask('a prepared statement', Buffer.concat(batch));
  life.expect(firstColumns(answer)[0], token);
}

async function transaction(life: Life, conversation: Conversation): Promise<void> {
  const token = life.token();
  await conversation.ask('a BEGIN', query('BEGIN'));
  await conversation.ask('an INSERT', query(`INSERT INTO drill VALUES ('${token}')`));
  await life.rest();
  const answer = await conversation.ask('a SELECT', query(`SELECT max('${token}') FROM drill`));
  life.expect(firstColumns(answer)[0], token);
  await conversation.ask('a COMMIT', query('COMMIT'));
  life.committed(token);
}

async function parameter(life: Life, conversation: Conversation): Promise<void> {
  const token = life.token();
  await conversation.ask('a SET', query(`SET drill.client = '${token}'`));
  await life.rest();
  const answer = await conversation.ask('a SHOW', query('SHOW drill.client'));
  life.expect(firstColumns(answer)[0], token);
}

async function copy(_: Life, conversation: Conversation): Promise<void> {
  await conversation.beginCopy(query('COPY drill_copy FROM STDIN'));
  const rows = Buffer.concat(Array.from({ length: 100 }, () => copyData('x\n')));
  await conversation.ask('a COPY', Buffer.concat([rows, copyDone()]));
}

async function slow(life: Life, conversation: Conversation): Promise<void> {
  const token = life.token();
  const answer = await conversation.ask(
    'a slow Query',
    query(`SELECT '${token}' FROM pg_sleep(0.1)`),
  );
  life.expect(firstColumns(answer)[0], token);
}

async function failing(_: Life, conversation: Conversation): Promise<void> {
  try {
    await conversation.ask('a failing Query', query('SELECT 1/0'));
  } catch (error) {
    if (!(error instanceof Refusal) || error.code !== '22012') throw error;
  }
}

type Leave = readonly [
  how: string,
  leave: (life: Life, conversation: Conversation) => Promise<void>,
];

const LEAVES: readonly (readonly [number, Leave])[] = [
  [50, ['politely', async (_, conversation) => conversation.leave('politely')]],
  [15, ['abruptly', async (_, conversation) => conversation.leave('abruptly')]],
  [10, ['in a transaction', inTransaction]],
  [10, ['in a statement', inStatement]],
  [5, ['in a COPY', inCopy]],
  [5, ['in a message', inMessage]],
  [5, ['with a goodbye behind a statement', behindStatement]],
];

async function inTransaction(life: Life, conversation: Conversation): Promise<void> {
  await conversation.ask('a BEGIN', query('BEGIN'));
  await conversation.ask('an INSERT', query(`INSERT INTO drill VALUES ('lost ${life.token()}')`));
  conversation.leave('abruptly');
}

async function inStatement(_: Life, conversation: Conversation): Promise<void> {
  conversation.send(query('BEGIN; SELECT pg_sleep(1)'));
  await pause(5);
  conversation.leave('abruptly');
}

async function inCopy(_: Life, conversation: Conversation): Promise<void> {
  await conversation.beginCopy(query('COPY drill_copy FROM STDIN'));
  conversation.send(copyData('lost\n'));
  conversation.leave('abruptly');
}

async function inMessage(_: Life, conversation: Conversation): Promise<void> {
  const message = frame('Q', Buffer.alloc(1_000, ' '));
  conversation.send(message.subarray(0, 500));
  await pause(5);
  conversation.leave('abruptly');
}

async function behindStatement(life: Life, conversation: Conversation): Promise<void> {
  conversation.send(query(`INSERT INTO drill_copy VALUES ('${life.token()}')`));
  conversation.leave('politely');
}
