/**
 * One client's batches that run on the shared lane: offered as they come, one at a time.
 * Owns: which of the client's bytes are such a batch, its bytes on a shared connection, putting the
 * reply into its client's hands. Leaves: everything else the client may send to transaction.ts,
 * which gets a batch back that was not answered.
 */
import type { Socket } from 'node:net';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Catalog } from '../../../upstream/catalog/catalog.ts';
import type { ParameterVector } from '../../../upstream/parameter-vector.ts';
import type { PostgresBackend } from '../../../upstream/postgres-backend.ts';
import { FRONTEND } from '../../../wire/postgres/message-types.ts';
import type { Acquisition } from '../acquisition.ts';
import type { BackendStatements } from '../prepared/backend-statements.ts';
import { closeMessage, parseMessage } from '../prepared/messages.ts';
import type { PreparedStatement } from '../prepared/statement-catalogue.ts';
import { relayRun } from '../relay-run.ts';
import type { ClientRequests } from '../requests.ts';
import { cancelled } from '../session-errors.ts';
import { UNPARSABLE } from '../sql/effects.ts';
import type { TextEffects } from '../sql/effects.ts';
import { bytesEffects } from '../sql/text-bytes.ts';
import type { ToldParameters } from '../state/told-parameters.ts';
import type { BatchRequest } from './batch-request.ts';
import type { LaneBackend } from './lane-backend.ts';
import type { SharedLane } from './lane.ts';
import { sharingVerdict } from './harmless.ts';
import type { SharingVerdict } from './harmless.ts';
import { readBatch } from './read-batch.ts';
import type { BatchShape, BatchSource } from './read-batch.ts';
import { ServerStopwatch } from './server-stopwatch.ts';
import { cancelledReply, SharedBatch } from './shared-batch.ts';
import type { Relayed, ReturnReason } from './shared-batch.ts';

/** What the session does for its turn on the lane. */
export interface TurnHost {
  /** The reply has been passed on whole. */
  turnEnded(): void;
  /** The batch is to be run by itself. */
  turnReturned(bytes: Buffer): void;
  turnFailed(error: AppError, relayed: Relayed): void;
}

/** What belongs to the same client. */
export interface TurnClient {
  readonly socket: Socket;
  readonly clock: Clock;
  readonly told: ToldParameters;
  readonly requests: ClientRequests;
  readonly acquisition: Acquisition;
}

/** Where a batch is that the lane has taken. */
interface Place {
  readonly batch: SharedBatch;
  readonly on: LaneBackend;
}

/** The class of a batch that runs by itself, and for whom its time is taken. */
interface Measuring {
  readonly effects: TextEffects;
  readonly lane: SharedLane;
  readonly work: ServerStopwatch;
}

/** What the client has sent, until it is answered. */
interface Turn {
  readonly lane: SharedLane;
  readonly catalog: Catalog;
  readonly chunk: Buffer;
  readonly shape: BatchShape;
  /** As it came. */
  readonly judgement: Judgement;
  /** Whether the lane has had it before, and gave it back. */
  offered: 'once' | 'again';
}

type Judgement = BatchRequest['judgement'];

export class SharedTurn implements BatchRequest, BatchSource {
  readonly #host: TurnHost;
  readonly #client: TurnClient;
  #turn: Turn | undefined;
  /** Nothing yet while it waits for the lane. */
  #place: Place | undefined;
  /** What the client's exclusive batch measures. */
  #measuring: Measuring | undefined;
  /** Turns that were begun. */
  count = 0;

  constructor(host: TurnHost, client: TurnClient) {
    this.#host = host;
    this.#client = client;
  }

  /** @param chunk all that the client has sent and that was not handled */
  begin(chunk: Buffer): 'begun' | 'not_shared' {
    this.#measuring = undefined;
    if (this.#client.requests.watch.keepsBackend) return 'not_shared';
    const shape = readBatch(chunk, this);
    if (shape === undefined) return 'not_shared';
    const target = this.#client.acquisition.targetNow();
    if (target instanceof AppError || !target.lane.isOn) return 'not_shared';
    const { lane, catalog } = target;
    const verdict = sharingVerdict(shape.effects, catalog);
    lane.judged(verdict);
    const judgement = judgementOf(verdict, catalog);
    if (judgement === 'refused') return 'not_shared';
    this.#turn = { lane, catalog, chunk, shape, judgement, offered: 'once' };
    const taken = lane.offer(this);
    if (taken === 'taken') {
      this.count += 1;
      return 'begun';
    }
    this.#turn = undefined;
    if (taken !== 'off') this.#measures(shape.effects, lane);
    return 'not_shared';
  }

  #measures(effects: TextEffects, lane: SharedLane): void {
    this.#measuring = { effects, lane, work: new ServerStopwatch(this.#client.clock) };
  }

  /** The batch that was not shared has a server connection now. */
  runsAlone(): void {
    this.#measuring?.work.start();
  }

  /** It is answered. */
  ranAlone(): void {
    const measuring = this.#measuring;
    if (measuring === undefined) return;
    this.#measuring = undefined;
    measuring.lane.measured(measuring.effects, measuring.work.elapsedUs);
  }

  /** The batch is to end; the client reads `reason` for it, or what the server says. */
  cancel(reason: AppError | undefined): void {
    const place = this.#place;
    const error = reason ?? cancelled();
    if (place !== undefined) {
      const words = reason === undefined ? 'by_server' : 'by_proxy';
      return place.on.cancel(place.batch, error, words);
    }
    this.#turn?.lane.withdraw(this);
    this.say(cancelledReply(error));
    this.answered();
  }

  /** The client is gone. */
  leave(): void {
    const place = this.#place;
    if (place === undefined) this.#turn?.lane.withdraw(this);
    else place.on.abandon(place.batch);
    this.#turn = undefined;
    this.#place = undefined;
  }

  clientDrained(): void {
    this.#place?.on.resume(this.#place.batch);
  }

  /** Whether a message for the client was relayed in part. */
  get isWithinMessage(): boolean {
    const place = this.#place;
    return place?.batch.relayed === 'some' && !place.on.backend.atBoundary;
  }

  // ---- what the lane asks (BatchRequest) ----

  get effects(): TextEffects {
    return this.#now.shape.effects;
  }

  get judgement(): Judgement {
    const { judgement, shape, catalog } = this.#now;
    if (judgement !== 'coming') return judgement;
    return judgementOf(sharingVerdict(shape.effects, catalog), catalog);
  }

  get vector(): ParameterVector {
    return this.#client.acquisition.settings.vector;
  }

  get sharedKey(): string {
    return this.#client.told.now.sharedKey;
  }

  get #now(): Turn {
    return this.#turn as Turn;
  }

  placed(batch: SharedBatch, on: LaneBackend): void {
    this.#place = { batch, on };
  }

  relay(run: Buffer, from: PostgresBackend): number {
    const { socket } = this.#client;
    relayRun(run, from, socket);
    return socket.writableLength;
  }

  say(words: Buffer): void {
    this.#client.socket.write(words);
  }

  answered(): void {
    this.#noteUnnamed();
    this.#turn = undefined;
    this.#place = undefined;
    this.#host.turnEnded();
  }

  returned(reason: ReturnReason): void {
    const turn = this.#now;
    const { chunk, lane, shape } = turn;
    lane.gaveBack(reason);
    this.#place = undefined;
    if (turn.offered === 'once' && ELSEWHERE.has(reason)) {
      turn.offered = 'again';
      if (lane.offer(this) === 'taken') return;
    }
    this.#turn = undefined;
    if (reason === 'not_placed') this.#measures(shape.effects, lane);
    this.#host.turnReturned(chunk);
  }

  failed(error: AppError, relayed: Relayed): void {
    this.#turn = undefined;
    this.#place = undefined;
    this.#host.turnFailed(error, relayed);
  }

  ownStatementName(shared: string): string | undefined {
    return this.#client.requests.ownStatementName(shared);
  }

  #noteUnnamed(): void {
    const batch = this.#place?.batch;
    if (batch === undefined) return;
    const { chunk, shape } = this.#now;
    const { watch } = this.#client.requests;
    if (shape.kind === 'query') watch.forgetUnnamed();
    else if (shape.kind === 'unnamed' && batch.parse !== 'none') {
      const parse = chunk.subarray(0, shape.headEnd);
      watch.unnamedParsedElsewhere(
        batch.parse === 'parsed' ? { parse, effects: shape.effects } : undefined,
      );
    }
  }

  // ---- its bytes ----

  effectsOf(chunk: Buffer, start: number, end: number): TextEffects {
    const isStandard = this.#client.told.now.reading === 'standard';
    return isStandard ? bytesEffects(chunk, start, end, STANDARD) : UNPARSABLE;
  }

  statementOf(name: string): PreparedStatement | undefined {
    return this.#client.requests.statementOf(name);
  }

  render(statements: BackendStatements, expectedUs: number, statementsMax: number): SharedBatch {
    const { chunk, shape } = this.#now;
    const { effects, statement } = shape;
    const before =
      statement === undefined ? NOTHING : toPrepare(statement, statements, statementsMax);
    return new SharedBatch({
      client: this,
      bytes: statement === undefined ? chunk : renamed(chunk, shape.headEnd, statement, before),
      effects,
      expectedUs,
      injectedReplies: before.length,
      statementFailed:
        statement === undefined
          ? undefined
          : (which) => statementFailed(statement, statements, which),
    });
  }
}

function judgementOf(verdict: SharingVerdict, catalog: Catalog): Judgement {
  if (verdict === 'harmless') return 'harmless';
  return verdict === 'catalog_unknown' && catalog.isComing ? 'coming' : 'refused';
}

/** The batch itself is as good as any: another connection of the lane may have room for it. */
const ELSEWHERE: ReadonlySet<ReturnReason> = new Set([
  'stalled',
  'slow_reader',
  'server_lost',
  'cancelled_for_another',
]);
const STANDARD = Object.freeze({ standardConformingStrings: true });
const NOTHING: readonly Buffer[] = Object.freeze([]);
const BIND_HEADER_BYTES = 5;

/** The messages that come before a use of `statement`; it is there then. */
function toPrepare(
  statement: PreparedStatement,
  statements: BackendStatements,
  statementsMax: number,
): readonly Buffer[] {
  // Portals end with their batch: any statement but this one may be closed.
  statements.beginLease();
  if (statements.use(statement)) return NOTHING;
  const before: Buffer[] = [];
  if (statements.takeOutdated(statement)) before.push(closeMessage(statement));
  const surplus = statements.surplus(statementsMax);
  if (surplus !== undefined) {
    statements.delete(surplus);
    before.push(closeMessage(surplus));
  }
  statements.add(statement);
  before.push(parseMessage(statement));
  return before;
}

function statementFailed(
  statement: PreparedStatement,
  statements: BackendStatements,
  which: 'not_parsed' | 'outdated',
): void {
  if (which === 'not_parsed') statements.delete(statement);
  else statements.outdated(statement);
}

/** A batch that begins with Bind, with the shared name in place of the client's. */
function renamed(
  chunk: Buffer,
  headEnd: number,
  { name }: PreparedStatement,
  before: readonly Buffer[],
): Buffer {
  const namesBytes = name.length + 2;
  const bodyBytes = chunk.readInt32BE(1) - 4 - (headEnd - BIND_HEADER_BYTES) + namesBytes;
  let at = 0;
  for (const message of before) at += message.length;
  const bytes = Buffer.allocUnsafe(at + BIND_HEADER_BYTES + namesBytes + chunk.length - headEnd);
  at = 0;
  for (const message of before) at += message.copy(bytes, at);
  bytes[at] = FRONTEND.Bind;
  bytes.writeInt32BE(bodyBytes + 4, at + 1);
  at += BIND_HEADER_BYTES;
  bytes[at++] = 0;
  at += bytes.write(name, at, 'latin1');
  bytes[at++] = 0;
  chunk.copy(bytes, at, headEnd);
  return bytes;
}
