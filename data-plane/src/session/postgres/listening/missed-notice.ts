/** What a client reads whose listener was lost and replaced (`on_listener_loss: notice`). */
import { encodeNoticeResponse } from '../../../wire/postgres/backend-messages.ts';
import { SqlState } from '../../../wire/postgres/sqlstate.ts';

export function missedNotice(reason: Error): Buffer {
  return encodeNoticeResponse({
    severity: 'WARNING',
    severityNonLocalized: 'WARNING',
    code: SqlState.warning,
    message: 'notifications may have been missed',
    detail: `the server connection that hears them was lost (${reason.message}); there is another`,
    hint: 'Read what they would have told. From here on nothing is missed.',
  });
}
