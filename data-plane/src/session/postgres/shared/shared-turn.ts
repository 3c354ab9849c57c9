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
import type { Acquisition } from '../acquisition.ts';
import type { BackendStatements } from '../prepared/backend-statements.ts';
import type { PreparedStatement } from '../prepared/statement-catalogue.ts';
import { relayRun } from '../relay-run.ts';
import type { ClientRequests } from '../requests.ts';
import { cancelled } from '../session-errors.ts';
import { UNPARSABLE } from '../sql/effects.ts';
import type { TextEffects } from '../sql/effects.ts';
import { namesMoment } from '../sql/moments.ts';
import { bytesEffects } from '../sql/text-bytes.ts';
import type { ToldParameters } from '../state/told-parameters.ts';
import type { BatchRequest } from './batch-request.ts';
import type { LaneBackend } from './lane-backend.ts';
import type { SharedLane } from './lane.ts';
import { sharingVerdict } from './harmless.ts';
import type { SharingVerdict } from './harmless.ts';
import { namedBatch } from './named-batch.ts';
import { readBatch } from './read-batch.ts';
import type { BatchShape, BatchSource, Naming } from './read-batch.ts';
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
  /** What it is about, if that has a name. */
  readonly statement: PreparedStatement | undefined;
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
    const statement = shape.naming ? this.#named(chunk, shape, shape.naming) : shape.statement;
    if (shape.kind === 'named' && statement === undefined) return 'not_shared';
    this.#turn = { lane, catalog, chunk, shape, statement, judgement, offered: 'once' };
    const taken = lane.offer(this);
    if (taken === 'taken') {
      this.count += 1;
      return 'begun';
    }
    if (taken !== 'off') this.#measures();
    this.#end('unparsed');
    return 'not_shared';
  }

  /** What the name of a Parse will stand for; undefined where that is not for the lane to say. */
  #named(chunk: Buffer, { effects }: BatchShape, naming: Naming): PreparedStatement | undefined {
    const { requests } = this.#client;
    const { name, textStart, textEnd, frameEnd } = naming;
    // Parsed at another time it is another one.
    if (namesMoment(chunk.toString('latin1', textStart, textEnd), STANDARD)) return undefined;
    const definition = chunk.subarray(textStart, frameEnd);
    const { parseContext } = requests.watch;
    return requests.parsedElsewhere.begin(name, definition, parseContext, effects);
  }

  #measures(): void {
    const { lane } = this.#now;
    const work = new ServerStopwatch(this.#client.clock);
    this.#measuring = { effects: this.effects, lane, work };
  }

  /** The turn is over, and so is what was assumed of its Parse. */
  #end(parse: 'parsed' | 'unparsed'): void {
    const turn = this.#turn;
    this.#turn = undefined;
    this.#place = undefined;
    const naming = turn?.shape.naming;
    if (naming === undefined || turn?.statement === undefined) return;
    const { parsedElsewhere } = this.#client.requests;
    if (parse === 'parsed') parsedElsewhere.succeeded(naming.name, turn.statement);
    else parsedElsewhere.failed(turn.statement);
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
    this.#end('unparsed');
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
    const { kind, headEnd, effects } = this.#now.shape;
    return kind === 'named' && headEnd === 0 ? PARSING : effects;
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
    this.#end(this.#place?.batch.parse === 'parsed' ? 'parsed' : 'unparsed');
    this.#host.turnEnded();
  }

  returned(reason: ReturnReason): void {
    const turn = this.#now;
    const { chunk, lane } = turn;
    lane.gaveBack(reason);
    this.#place = undefined;
    if (turn.offered === 'once' && ELSEWHERE.has(reason)) {
      turn.offered = 'again';
      if (lane.offer(this) === 'taken') return;
    }
    if (reason === 'not_placed') this.#measures();
    this.#end('unparsed');
    this.#host.turnReturned(chunk);
  }

  failed(error: AppError, relayed: Relayed): void {
    this.#end('unparsed');
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
    const { chunk, shape, statement } = this.#now;
    const named = statement && namedBatch(chunk, shape, statement, statements, statementsMax);
    return new SharedBatch({
      client: this,
      bytes: named?.bytes ?? chunk,
      effects: this.effects,
      expectedUs,
      injectedReplies: named?.injectedReplies ?? 0,
      statement: named?.use,
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
/** To the memory of service times all texts that are parsed and not run are one class. */
const PARSING: TextEffects = Object.freeze({ ...UNPARSABLE });
