/**
 * What the two ends of a bus between processes say to each other: ipc-bus.ts is the end of those
 * who use the bus, ipc-bus-server.ts the end of the process that has it. Frames are structured
 * clones, so that bytes travel as bytes.
 * `id` is given by the client's end: of a call, or of a subscription, responder or follower.
 */
import type { AppendOptions, KeyChange, KeysSpec, LogMessage, LogSpec } from './bus.ts';

/** Each is a method of the port and what it is called with. */
export type IpcCall =
  | {
      readonly method: 'append';
      readonly log: LogSpec;
      readonly args: readonly [id: string, data: Bytes, options?: AppendOptions | undefined];
    }
  | { readonly method: 'state'; readonly log: LogSpec }
  | { readonly method: 'last'; readonly log: LogSpec }
  | {
      readonly method: 'put';
      readonly bucket: string;
      readonly name: string;
      readonly data: Bytes;
    }
  | { readonly method: 'get'; readonly bucket: string; readonly name: string }
  | KeysCall
  | {
      readonly method: 'request';
      readonly subject: string;
      readonly data: Bytes;
      readonly timeoutMs: number;
    };

export type KeysCall = { readonly keys: KeysSpec } & (
  | { readonly method: 'get_key'; readonly args: readonly [key: string] }
  | { readonly method: 'put_key'; readonly args: readonly [key: string, value: Bytes] }
  | { readonly method: 'create_key'; readonly args: readonly [key: string, value: Bytes] }
  | {
      readonly method: 'update_key';
      readonly args: readonly [key: string, value: Bytes, expectedRevision: number];
    }
  | {
      readonly method: 'delete_key';
      readonly args: readonly [key: string, expectedRevision?: number | undefined];
    }
);

/** What calls a handler; of a follower and a watcher it is awaited before the next call. */
export type IpcSource =
  | { readonly kind: 'subscription'; readonly subject: string }
  | { readonly kind: 'responder'; readonly subject: string }
  | { readonly kind: 'follower'; readonly log: LogSpec; readonly fromSequence: number }
  | { readonly kind: 'watcher'; readonly keys: KeysSpec; readonly pattern: string };

/** To the process that has the bus. */
export type ToBus =
  | { readonly op: 'call'; readonly id: number; readonly call: IpcCall }
  | { readonly op: 'publish'; readonly subject: string; readonly data: Bytes }
  | { readonly op: 'open'; readonly id: number; readonly source: IpcSource }
  | { readonly op: 'close'; readonly id: number }
  /** The handler of a follower or watcher is done with what it was told. */
  | { readonly op: 'handled'; readonly id: number }
  /** Of a responder, to the request of that number; without data it has failed. */
  | {
      readonly op: 'answer';
      readonly id: number;
      readonly request: number;
      readonly data: Bytes | undefined;
    };

/** To the process that uses it. */
export type FromBus =
  | { readonly op: 'result'; readonly id: number; readonly value: unknown }
  | { readonly op: 'failed'; readonly id: number; readonly code: string; readonly message: string }
  | { readonly op: 'heard'; readonly id: number; readonly subject: string; readonly data: Bytes }
  | { readonly op: 'asked'; readonly id: number; readonly request: number; readonly data: Bytes }
  | { readonly op: 'told'; readonly id: number; readonly news: LogMessage | KeyChange };

type Bytes = Uint8Array;
