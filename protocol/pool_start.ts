/**
 * What passes between a worker process (`sd work --pool`) and the process that started it, over the
 * child's stdin and stdout; nothing secret stands in an argument or the environment. One JSON object
 * a line. The parent keeps stdin open as long as it lives: its end means that the parent is gone.
 */

/** A task file: where it is, and what the person who named it calls it. */
export interface TaskFileRef {
  /** Absolute. */
  path: string;
  name: string;
}

/** `true`: all of it; a list: only those; absent: nothing. As the flags `--allow-…` of Deno. */
export interface TaskPermissions {
  net?: true | string[];
  read?: true | string[];
  write?: true | string[];
  env?: true | string[];
  sys?: true | string[];
  run?: true | string[];
  ffi?: true;
}

/** What a worker process is to run, and within which bounds: the same from `sd serve` and `sd work`. */
export interface PoolWork {
  /** The files whose exported functions are its ops, beside the built-in ones. */
  taskFiles: TaskFileRef[];
  /** What task code may do. */
  permissions: TaskPermissions;
  /** A worker's share of memory: a task that takes more fails with `out_of_memory`. */
  maxMemoryBytes: number;
}

/** The built-in ops alone, with nothing allowed. */
export const BUILTIN_WORK: PoolWork = {
  taskFiles: [],
  permissions: {},
  maxMemoryBytes: 1024 * 1024 * 1024,
};

/** An op whose runs have a process each, as a process of the pool has found it. */
export interface SingleOp {
  op: string;
  /** The task file, as it was named on the command line. */
  file: string;
  /** What its runs may do; absent: what those of all ops may. */
  permissions?: TaskPermissions;
}

/** First line on the child's stdin. */
export interface PoolStart extends PoolWork {
  server: { hostname: string; port: number; tls?: { readonly caCerts: readonly string[] } };
  secret: string;
  workers: number;
  /** A process with the name of another takes its place. */
  pool?: string;
  /** Connect again when the link is lost (`sd work`), or leave at once (the server's own pool). */
  reconnect: boolean;
  /** It takes one task of these ops, and ends with it. */
  single?: SingleOp[];
  /** The child proves with it that a line on its stdout comes from the pool and not from a task. */
  nonce: string;
}

/** Any later line on stdin. */
export type ParentOrder =
  /** Finish what you hold, for so long at most, then leave. */
  | { stop: true; grace_ms: number }
  /** Answer `alive`: one that does not is frozen. */
  | { ask: true };

/** On the child's stdout. Each carries the nonce of the start, so that no task can say it. */
export type PoolNews =
  /** Connected: the server hands it tasks from now on. */
  | { nonce: string; ready: true; single: SingleOp[] }
  /** It has been given its only task; `taken` is its time limit in ms. */
  | { nonce: string; taken: number }
  /** This process ends soon, for the reason that is told; start another now. */
  | { nonce: string; retiring: string }
  /** The task files do not load, and here is why; this process ends. */
  | { nonce: string; fault: string }
  /** For the operator, in words. */
  | { nonce: string; said: string }
  /** The answer to `ask`. */
  | { nonce: string; alive: true };
