/**
 * What a server connection may say while no client owns it: that its parameters changed, or that it
 * is about to end.
 */
import { BACKEND } from '../wire/postgres/message-types.ts';
import { DROP } from '../wire/postgres/frame-scanner.ts';
import type { FrameVerdict } from '../wire/postgres/frame-scanner.ts';
import { WireError } from '../wire/wire-error.ts';
import type { ReplySink } from './postgres-backend.ts';

export const idleSink: ReplySink = Object.freeze({
  needsBody: () => false,
  frame(type: number): FrameVerdict {
    switch (type) {
      case BACKEND.NoticeResponse:
      case BACKEND.ParameterStatus:
      case BACKEND.NotificationResponse:
      // FATAL, such as an administrator's command: the end of the connection follows.
      case BACKEND.ErrorResponse:
        return DROP;
      default: {
        const letter = String.fromCharCode(type);
        throw new WireError(`the server sent "${letter}" on an idle connection`);
      }
    }
  },
  forward: () => {},
  settled: () => {},
  drained: () => {},
  lost: () => {},
});
