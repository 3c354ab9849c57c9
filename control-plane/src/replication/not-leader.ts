/** A write that came to a control plane which does not lead. */
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { controlErrors } from '../errors.ts';
import type { Role } from './replica.ts';

export class NotLeader extends AppError<'NOT_LEADER'> {
  /** Where the API of the leader answers; nothing while nobody leads. */
  readonly leader: string | undefined;

  constructor(role: Role, leader: string | undefined, problem?: string) {
    const where = leader === undefined ? 'no leader is known' : `the leader is at ${leader}`;
    super(
      'NOT_LEADER',
      controlErrors.specs.NOT_LEADER,
      `This control plane is ${role.replace('_', ' ')}; ${problem ?? where}. Nothing was changed.`,
      { hint: 'Try again in a moment, or write there.' },
    );
    this.leader = leader;
  }
}
