/** Failures both planes can meet on the ground they share. */
import { defineErrors } from './kernel/errors.ts';

export const sharedErrors = defineErrors({
  BUS_UNAVAILABLE: {
    kind: 'unavailable',
    retryable: true,
    summary: 'The message bus cannot be reached or did not answer in time.',
  },
  BUS_MESSAGE_TOO_LARGE: {
    kind: 'capacity',
    retryable: false,
    summary: 'A message or object is larger than the message bus carries.',
  },
  BUS_SEQUENCE_CONFLICT: {
    kind: 'unavailable',
    retryable: false,
    summary: 'Somebody else has written to the same place of the message bus; nothing was written.',
  },
  SECRET_UNAVAILABLE: {
    kind: 'config',
    retryable: true,
    summary: 'A secret cannot be opened: its key, environment variable or file is missing here.',
  },
  SETTINGS_INVALID: {
    kind: 'config',
    retryable: false,
    summary: 'A flag, environment variable or config file holds something that cannot be used.',
  },
});
