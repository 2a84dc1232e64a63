/**
 * Limits on connections and clients: numbers, sizes and times, each with its unit in its name. Some can be changed by flags
 * of `sd serve`. `tests/system/limits_test.ts` tests each limit at its value and one past it. Limits on single messages
 * are in `protocol/limits.ts`.
 */

const MIB = 1024 * 1024;

export interface ServerLimits {
  /** Most open connections of clients. The server's own workers use another socket, and do not count. */
  readonly maxConnections: number;
  /** Most tasks of one connection that were submitted with `wait` and are not final; the same limit holds for its commands. */
  readonly maxInFlight: number;
  /** Most queued and delayed tasks. A task that runs again is never refused. */
  readonly maxQueued: number;
  /** Most memory for the payloads of all tasks that are not final, in an engine that keeps them in memory. */
  readonly maxQueuedBytes: number;
  /** Most unread replies of one connection; above the limit it is cut. */
  readonly maxUnreadBytes: number;
  /** Most unread replies of all connections; above the limit the connection with the most is cut first. */
  readonly maxUnreadInAllBytes: number;
  /** Longest time from connecting to the end of the TLS handshake. */
  readonly handshakeMs: number;
  /** Longest time from connecting, or from the end of the handshake, to the end of the first line. */
  readonly firstLineMs: number;
  /** The same if the server has tokens: until a `hello` is accepted. */
  readonly helloMs: number;
  /** Delay of the reply to a wrong token or secret. */
  readonly wrongGuessMs: number;
  /** Longest time from the first byte of a line to its last. */
  readonly partialLineMs: number;
  /** Longest time in which a write makes no progress. */
  readonly writeStallMs: number;
  /** Time for a refused client to read the reason before its connection is closed. */
  readonly lingerMs: number;
  /** Silence of a worker process after which it gets no more tasks. */
  readonly quietLinkMs: number;
  /** Silence after which its connection is cut, and its tasks run elsewhere. */
  readonly silentLinkMs: number;
  /** Time between two checks of the deadlines, so each can be late by as much. Worker processes show life as often. */
  readonly sweepMs: number;
  /** How long a worker process may go on with its runs without a server, in ms; and how long a new server waits for it. */
  readonly holdMs: number;
}

export const DEFAULT_LIMITS: ServerLimits = {
  maxConnections: 10_000,
  maxInFlight: 100_000,
  maxQueued: 10_000_000,
  maxQueuedBytes: 512 * MIB,
  maxUnreadBytes: 64 * MIB,
  maxUnreadInAllBytes: 512 * MIB,
  handshakeMs: 5000,
  firstLineMs: 10_000,
  helloMs: 5000,
  wrongGuessMs: 1000,
  partialLineMs: 30_000,
  writeStallMs: 30_000,
  lingerMs: 1000,
  quietLinkMs: 3000,
  silentLinkMs: 10_000,
  sweepMs: 1000,
  holdMs: 10_000,
};

/** Longest line before `hello` is accepted, if the server has tokens. */
export const MAX_LINE_BYTES_BEFORE_HELLO = 4096;
/** Most answers to `health` on a connection before `hello` is accepted, if the server has tokens. */
export const MAX_HEALTH_BEFORE_HELLO = 64;
/** Most connections of the server's own workers. Usually there is one process, or two for a moment. */
export const MAX_OWN_LINKS = 64;
/** Most connections above the limit that get a refusal at a time; further ones are closed without a reply. */
export const MAX_REFUSALS_AT_A_TIME = 64;
/** Time after which a refused client can try again, in ms. */
export const RETRY_AFTER_MS = 1000;
