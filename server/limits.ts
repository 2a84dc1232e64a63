/**
 * Limits on connections and clients: how many, how much, how long. Each has its unit in its name; the limits that an
 * operator can change are flags of `sd serve`. Tested at the limit and one
 * past it, in `tests/system/limits_test.ts`. Limits on single messages are in `protocol/limits.ts`.
 */

const MIB = 1024 * 1024;

export interface ServerLimits {
  /** Connections open at a time; the server's own workers come in by another way. */
  readonly maxConnections: number;
  /** Tasks of one connection that were submitted with `wait` and are not final. As many commands. */
  readonly maxInFlight: number;
  /** Tasks queued or delayed. What comes back (a retry, a further attempt) is never refused. */
  readonly maxQueued: number;
  /** What clients sent of all tasks that are not final; of an engine that keeps them in memory. */
  readonly maxQueuedBytes: number;
  /** Replies that a client leaves unread; beyond it the connection is cut. */
  readonly maxUnreadBytes: number;
  /** The same of all connections together: the one with the most is cut first. */
  readonly maxUnreadInAllBytes: number;
  /** From connecting to the end of the handshake, over TLS. */
  readonly handshakeMs: number;
  /** From connecting, or from the end of the handshake, to the end of the first line. */
  readonly firstLineMs: number;
  /** The same where the server has tokens: until a `hello` was accepted. */
  readonly helloMs: number;
  /** Before a wrong token or secret is answered. */
  readonly wrongGuessMs: number;
  /** From the first byte of a line to its last. */
  readonly partialLineMs: number;
  /** Between two steps forward of a write. */
  readonly writeStallMs: number;
  /** For a client to take the reason, before a connection that it was refused is closed. */
  readonly lingerMs: number;
  /** Silence of a worker process after which it is given no more tasks. */
  readonly quietLinkMs: number;
  /** Silence after which its connection is cut, and its tasks run elsewhere. */
  readonly silentLinkMs: number;
  /** Time between two looks at the deadlines, and how late each may be. Worker processes show life as often. */
  readonly sweepMs: number;
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
};

/** A line before `hello` was accepted, where the server has tokens. */
export const MAX_LINE_BYTES_BEFORE_HELLO = 4096;
/** Connections to the way in of the server's own workers; there is one process, or two for a moment. */
export const MAX_OWN_LINKS = 64;
/** Connections beyond the limit that get a refusal; further ones are closed without a reply. */
export const MAX_REFUSALS_AT_A_TIME = 64;
/** When a refused client can try again, in ms. */
export const RETRY_AFTER_MS = 1000;
