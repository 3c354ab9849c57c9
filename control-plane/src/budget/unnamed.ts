/**
 * Enters into the books the tenants on declared servers of which a proxy may have connections
 * although nobody has named them: those that a proxy had in a former term and is not heard any
 * more, or that an earlier life has left. They share a cap with tenants that others want, so until
 * all are entered, and looked for, nothing of their servers is given.
 * Leaves: looking to looking.ts. Of other tenants nobody has to know before somebody wants them.
 */
import type { Books } from './books.ts';
import type { ProxyAccount } from './proxy-account.ts';

/** Of one proxy in one step. */
const ENTERED_MAX = 1_000;

/** Goes on with it, as far as one step allows. */
export function enterUnnamed(proxy: ProxyAccount, books: Books): void {
  if (!isDue(proxy)) return;
  const walk = proxy.unnamedWalk ?? books.config.onServers()[Symbol.iterator]();
  if (walk === 'done') return;
  proxy.unnamedWalk = walk;
  for (let entered = 0; entered < ENTERED_MAX; entered++) {
    const next = walk.next();
    if (next.done === true) {
      proxy.unnamedWalk = 'done';
      books.serversKnown();
      return;
    }
    if (next.value === undefined) continue;
    const tenant = books.tenant(next.value);
    books.leftovers.add(tenant.entry(proxy));
    books.dirty.add(tenant);
  }
}

/** While its lease may hold it can still name them itself. */
function isDue({ unnamed, unnamedLeft, lease, unnamedWalk }: ProxyAccount): boolean {
  if (unnamedWalk === 'done') return false;
  return unnamedLeft === 'anything' || (unnamed === 'anything' && lease === 'over');
}
