/**
 * One server connection of a pool, from before its dial until the server has closed.
 */
import { Chain } from './chain.ts';
import type { Linked } from './chain.ts';

/**
 * The state of a slot is the chain it lives in; a slot in no chain is free and forgotten.
 * `checking`: an idle one whose server is asked whether it is there. `kept`:
 * the proxy holds it for a purpose of its own that serves many clients, for as long as that lasts.
 */
export type SlotState =
  'dialing' | 'idle' | 'checking' | 'leased' | 'resetting' | 'kept' | 'closing';
export type SlotChain<B> = Chain<Slot<B>, SlotState>;

export class Slot<B> implements Linked<Slot<B>, SlotState> {
  chain: SlotChain<B> | undefined = undefined;
  previous: Slot<B> | undefined = undefined;
  next: Slot<B> | undefined = undefined;
  /** Absent while dialing. */
  backend: B | undefined = undefined;
  /** When its login was done. */
  bornMs = 0;
  /** When it was last given back, or born. */
  idleSinceMs = 0;
  /** When its server last did what it was asked. */
  provenMs = 0;
  /**
   * The part of the maximal lifetime this one gets, so that slots born together do not die
   * together.
   */
  lifetimeShare = 1;
  /** The back-off round its dial belongs to. */
  readonly round: number;

  constructor(round: number) {
    this.round = round;
  }

  get state(): SlotState | 'free' {
    return this.chain?.name ?? 'free';
  }
}

export function slotChain<B>(state: SlotState): SlotChain<B> {
  return new Chain<Slot<B>, SlotState>(state);
}
