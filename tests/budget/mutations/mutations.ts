/**
 * Ways to break the code of the fleet-wide budget, each of which the simulation has to find. The
 * text that is replaced stands exactly once in its file.
 */

export interface Mutation {
  /** What the code does wrong. */
  readonly name: string;
  /** Below the root of the repository. */
  readonly file: string;
  readonly text: string;
  readonly instead: string;
  /** Why no world here can tell it from the code as it is; it is not tried. */
  readonly equivalent?: string;
}

const PLANE = 'control-plane/src/budget';
const PROXY = 'data-plane/src/budget';

/** Of the control plane: what may be occupied, and what is known to be free. */
const LEDGER: readonly Mutation[] = [
  {
    name: 'what was sent and is not answered does not count',
    file: `${PLANE}/entry.ts`,
    text: 'for (const figures of sent?.possible ?? []) most',
    instead: 'for (const figures of sent?.possible.slice(0, 0) ?? []) most',
  },
  {
    name: 'of several grants under way only the newest counts',
    file: `${PLANE}/entry.ts`,
    text: 'possible: [...before, figures]',
    instead: 'possible: before.length > 99 ? before : [figures]',
  },
  {
    name: 'what is held above a smaller limit does not count',
    file: `${PLANE}/entry.ts`,
    text: 'return Math.max(this.held, this.capMost);',
    instead: 'return this.capMost;',
  },
  {
    name: 'what is held above a smaller limit is forgotten when that is obeyed',
    file: `${PLANE}/hearing.ts`,
    text: 'if (!above.has(entry.tenant.key)) this.#notAbove(entry);',
    instead: 'this.#notAbove(entry);',
  },
  {
    name: 'what earlier lives have left does not count',
    file: `${PLANE}/entry.ts`,
    text: 'return Math.max(this.present, this.left);',
    instead: 'return this.present;',
  },
  {
    name: 'a former, higher max_connections is forgotten at once',
    file: `${PLANE}/tenant-account.ts`,
    text: 'this.former = all.length > FORMER_MAX ? [worstOf(all)] : all;',
    instead: 'this.former = all.length > FORMER_MAX ? [worstOf(all)] : [];',
  },
  {
    name: 'a former max_connections is forgotten when the first proxy has applied the new one',
    file: `${PLANE}/books.ts`,
    text: 'applied = Math.min(applied, proxy.appliedPosition)',
    instead: 'applied = Math.max(proxy.appliedPosition, 0)',
  },
  {
    name: 'growth is given whatever others may have',
    file: `${PLANE}/decide.ts`,
    text: 'const most = Math.max(room < 0 ? seat.has : before + room, atLeast);',
    instead: 'const most = Math.max(seat.target, atLeast);',
  },
  {
    name: 'where too much is out, what is still held is given to its holder again',
    file: `${PLANE}/decide.ts`,
    text: 'room < 0 ? seat.has : before + room',
    instead: 'before + Math.max(0, room)',
  },
  {
    name: 'the cap of a declared server is not heeded',
    file: `${PLANE}/decide.ts`,
    text: 'serverRoom(server.max - server.total, books)',
    instead: 'serverRoom(tenant.max, books)',
  },
  {
    name: 'a declared server is dealt out before everybody has said what he has',
    file: `${PLANE}/decide.ts`,
    text: "if (proxy.mayHaveUnnamed && proxy.unnamedWalk !== 'done') return 0;",
    instead: '',
  },
  {
    name: 'figures that are older than an obeyed grant are taken for true',
    file: `${PLANE}/hearing.ts`,
    text: 'message.term !== this.#term || message.obeyed < proxy.obeyedNumber',
    instead: 'message.term !== this.#term',
  },
  {
    name: 'figures of another term are taken for true',
    file: `${PLANE}/hearing.ts`,
    text: 'if (message.term !== this.#term || message.obeyed',
    instead: 'if (message.obeyed',
  },
  {
    name: 'needs that were overtaken are heard',
    file: `${PLANE}/hearing.ts`,
    text: 'message.number <= proxy.needsNumber) return undefined;',
    instead: 'message.number < 0) return undefined;',
    equivalent:
      'Figures change with grants, whose number is compared as well. What is held above them only' +
      ' falls, so an older message says too much; and the next heartbeat mends what is wanted.',
  },
  {
    name: 'what went out in a lost grant is taken for obeyed with the next one',
    file: `${PLANE}/hearing.ts`,
    text: 'if (entry.sent !== undefined && entry.sent.number !== number) continue;',
    instead: '',
    equivalent: 'Here one grant holds all tenants; hearing.test.ts has more than fit.',
  },
  {
    name: 'an answer that names not all who hold too much is taken for whole',
    file: `${PLANE}/hearing.ts`,
    text: 'if (message.aboveOmitted > 0) return;',
    instead: 'proxy.above.clear(); return;',
    equivalent: 'Here one message holds all tenants; hearing.test.ts tells of more.',
  },
];

/** Of the control plane: leases, terms, lives, lost proxies. */
const LEASES: readonly Mutation[] = [
  {
    name: 'a lease counts as over when its time is over by our own clock',
    file: `${PLANE}/proxy-account.ts`,
    text: 'BUDGET_LIMITS.leaseMs * 1.02 + 500',
    instead: 'BUDGET_LIMITS.leaseMs',
  },
  {
    name: 'a lease counts from the grant before the last',
    file: `${PLANE}/granting.ts`,
    text: 'if (isLeased) proxy.leaseFromMs = proxy.heardMs;',
    instead:
      'if (isLeased) proxy.leaseFromMs = Math.max(proxy.leaseFromMs, proxy.heardMs - 2_000);',
  },
  {
    name: 'what a lost proxy holds is gone when its lease is',
    file: `${PLANE}/hearing.ts`,
    text: 'entry.held = Math.max(entry.held, entry.capMost);\n      entry.wanted = 0;',
    instead: 'entry.held = 0;\n      entry.wanted = 0;',
  },
  {
    name: 'what a lost proxy may have opened since it spoke last does not count',
    file: `${PLANE}/hearing.ts`,
    text: 'entry.held = Math.max(entry.held, entry.capMost);\n      entry.wanted = 0;',
    instead: 'entry.wanted = 0;',
  },
  {
    name: 'a new term takes members that it has not heard for empty',
    file: `${PLANE}/members.ts`,
    text: "proxy.unnamed = 'anything';",
    instead: "proxy.unnamed = 'formula';",
  },
  {
    name: 'a proxy that comes back has a lease before it was corrected',
    file: `${PLANE}/granting.ts`,
    text: "if (proxy.lease === 'over') {",
    instead: "if (proxy.lease === 'over' && proxy.tellings === 0) {",
  },
  {
    name: 'a new term gives a lease to who has none, and does not correct him',
    file: `${PLANE}/hearing.ts`,
    text: "if (answer.lease === 'over') proxy.lease = 'over';",
    instead: '',
  },
  {
    name: 'a new life of which nobody knows has left no more than the formula says',
    file: `${PLANE}/hearing.ts`,
    text: "if (isGap || proxy.unnamed === 'anything') proxy.unnamedLeft = 'anything';",
    instead: '',
  },
  {
    name: 'a new life that has gone by other configs has left no more than the formula says',
    file: `${PLANE}/hearing.ts`,
    text: "if (isGap || proxy.unnamed === 'anything') proxy.unnamedLeft = 'anything';",
    instead: "if (proxy.unnamed === 'anything') proxy.unnamedLeft = 'anything';",
  },
  {
    name: 'what one look has seen counts for a life that is going on',
    file: `${PLANE}/looking.ts`,
    text: 'if (silentMs >= this.#lostAfterMs && proxy.isLeaseSurelyOver(nowMs)) return true;',
    instead: 'if (silentMs >= this.#lostAfterMs) return true;',
  },
];

/** Of the control plane: parts that are had without asking. */
const PARTS: readonly Mutation[] = [
  {
    name: 'a newcomer gets its part before the others have obeyed smaller ones',
    file: `${PLANE}/members.ts`,
    text: 'if (!isKnown || other.divisorLeast < divisor) return other;',
    instead: '',
  },
  {
    name: 'a part grows without telling figures of tenants that are lent first',
    file: `${PLANE}/members.ts`,
    text: 'if (this.#pin(proxy, divisor) > 0) return false;',
    instead: '',
  },
  {
    name: 'a part is given before it is recorded',
    file: `${PLANE}/members.ts`,
    text: 'return recorded.version <= this.#written;',
    instead: 'return true;',
  },
  {
    name: 'a share that was sent does not count until it is obeyed',
    file: `${PLANE}/granting.ts`,
    text: 'proxy.possibleDivisor = Math.min(proxy.possibleDivisor, divisorOf(share));',
    instead: '',
  },
  {
    name: 'who may go by an older config is released to the formula',
    file: `${PLANE}/decide.ts`,
    text: 'if (limit === formula && formulaMost <= limit && !isPinned) return BY_FORMULA;',
    instead: 'if (limit === formula && !isPinned) return BY_FORMULA;',
  },
  {
    name: 'a part grows while a change of all tenants is under way',
    file: `${PLANE}/members.ts`,
    text: 'this.#books.isWideChangeUnderWay ||',
    instead: '',
  },
];

/** Of the control plane: what is wanted is had. */
const SERVICE: readonly Mutation[] = [
  {
    name: 'who has a slot keeps it',
    file: `${PLANE}/fair-shares.ts`,
    text: 'return level > 0 || nowMs - claim.turnBeganMs < TURN_MS ? 0 : 2;',
    instead: 'return 0;',
  },
  {
    name: 'what was lost on the way is not sent again',
    file: `${PLANE}/entry.ts`,
    text: 'this.planned ??= this.sent?.figures;',
    instead: '',
  },
  {
    name: 'what nobody wants is not taken back',
    file: `${PLANE}/decide.ts`,
    text: 'nowMs - entry.neededAtMs < KEEP_UNNEEDED_MS ? has : Math.min(has, formula)',
    instead: 'has',
  },
  {
    name: 'nobody looks for what a lost proxy has left',
    file: `${PLANE}/looking.ts`,
    text: 'if (looker === undefined) return undefined;\n    const isLost',
    instead: 'if (looker !== undefined) return undefined;\n    const isLost',
  },
];

/** Of the proxy. */
const OBEDIENCE: readonly Mutation[] = [
  {
    name: 'a limit holds without a lease',
    file: `${PROXY}/obedience.ts`,
    text: 'const cap = this.isLeased(nowMs) ? limit : floor;',
    instead: 'const cap = Math.max(limit, floor);',
  },
  {
    name: 'a lease counts from when the grant arrives',
    file: `${PROXY}/obedience.ts`,
    text: 'const stampMs = Math.min(grant.stampMs, nowMs);',
    instead: 'const stampMs = Math.max(grant.stampMs, nowMs);',
  },
  {
    name: 'orders of an older term are obeyed',
    file: `${PROXY}/obedience.ts`,
    text: "if (term < this.#term) return 'older_term';",
    instead: '',
  },
  {
    name: 'orders are obeyed out of their order',
    file: `${PROXY}/obedience.ts`,
    text: "if (term === this.#term && number <= this.#obeyed) return 'older_number';",
    instead: '',
  },
  {
    name: 'orders to an earlier life are obeyed',
    file: `${PROXY}/obedience.ts`,
    text: 'life !== this.#options.life',
    instead: 'life > this.#options.life',
  },
  {
    name: 'a smaller part or a loan is not kept over a restart',
    file: `${PROXY}/allowance.ts`,
    text: 'if (!isOther && floors.length === 0) return undefined;',
    instead: 'if (floors.length >= 0) return undefined;',
  },
  {
    name: 'loans are not kept over a restart',
    file: `${PROXY}/allowance.ts`,
    text: '...(floors.length > 0 && { floors }) };\n  }\n\n  take',
    instead: '};\n  }\n\n  take',
  },
  {
    name: 'a higher max_connections raises the floor by itself',
    file: `${PROXY}/allowance.ts`,
    text: 'return formulaIs > formulaWas ? { floor: formulaWas, limit: formulaWas } : undefined;',
    instead: 'return undefined;',
  },
  {
    name: 'a limit that fell with max_connections rises with it',
    file: `${PROXY}/allowance.ts`,
    text: 'const limit = isLess ? Math.min(said.limit, is.maxConnections) : said.limit;',
    instead: 'const { limit } = said;',
  },
  {
    name: 'a floor that was above the formula comes into force when the formula rises',
    file: `${PROXY}/allowance.ts`,
    text: 'formulaIs > formulaWas ? Math.min(floor, formulaWas) : floor',
    instead: 'floor',
  },
  {
    name: 'a grant that is ahead of the config is in force when the config comes',
    file: `${PROXY}/allowance.ts`,
    text: 'if (known === undefined) return { tenant, ...NOTHING };',
    instead: 'if (known === undefined) return { tenant, floor, limit };',
  },
  {
    name: 'a tenant that was removed and comes back has its part at once',
    file: `${PROXY}/allowance.ts`,
    text: 'said === undefined && this.#share === null ? undefined : NOTHING',
    instead: 'undefined',
  },
  {
    name: 'everything is used after a crash before anybody has looked',
    file: `${PROXY}/obedience.ts`,
    text: "return cap > 1 && this.lookedAt(key) !== 'yes' ? 1 : cap;",
    instead: 'return cap;',
  },
  {
    name: 'who holds too much is not named in the answer',
    file: `${PROXY}/obedience.ts`,
    text: 'above: above.slice(0, most)',
    instead: 'above: above.slice(0, 0)',
  },
  {
    name: 'a machine that has slept takes its lease for valid',
    file: `${PROXY}/waking-clock.ts`,
    text: 'return monotonicMs + this.#asleepMs;',
    instead: 'return monotonicMs;',
  },
];

export const MUTATIONS: readonly Mutation[] = [
  ...LEDGER,
  ...LEASES,
  ...PARTS,
  ...SERVICE,
  ...OBEDIENCE,
];

/** Needs several accidents in one order: not found in 250 worlds. Tried with `--rare` alone. */
export const RARE: ReadonlySet<string> = new Set([
  'a new term gives a lease to who has none, and does not correct him',
  'a new life of which nobody knows has left no more than the formula says',
  'a new life that has gone by other configs has left no more than the formula says',
  'what one look has seen counts for a life that is going on',
  'a newcomer gets its part before the others have obeyed smaller ones',
  'a part is given before it is recorded',
  'a share that was sent does not count until it is obeyed',
  'a higher max_connections raises the floor by itself',
  'a limit that fell with max_connections rises with it',
  'a grant that is ahead of the config is in force when the config comes',
  'a declared server is dealt out before everybody has said what he has',
]);
