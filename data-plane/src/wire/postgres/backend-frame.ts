/** How every message of a server is framed: type byte, length, body. */
import { ByteWriter } from '../byte-writer.ts';
import type { BackendFrame } from './message-types.ts';

/** Frames the body that `write` puts into the writer. */
export function backendFrame(type: number, write: (body: ByteWriter) => unknown): BackendFrame {
  const writer = new ByteWriter().uint8(type).int32(0);
  write(writer);
  return writer.patchInt32(1, writer.length - 1).finish() as BackendFrame;
}
