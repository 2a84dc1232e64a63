/**
 * The messages between a worker process (`sd work --pool`) and its parent, over the child's stdin and stdout: one JSON
 * object a line. So no secret is in an argument or the environment. The parent keeps stdin open as long as it lives: the
 * end of stdin means that the parent has ended.
 */

/** A task file: its path, and its name on the command line. */
export interface TaskFileRef {
  /** Absolute. */
  path: string;
  name: string;
}

/** Permissions, as Deno's flags `--allow-…` give them. `true`: all; a list: only these; absent: none. */
export interface TaskPermissions {
  net?: true | string[];
  read?: true | string[];
  write?: true | string[];
  env?: true | string[];
  sys?: true | string[];
  run?: true | string[];
  ffi?: true;
}

/** The work of a worker process, and its limits. `sd serve` and `sd work` send the same. */
export interface PoolWork {
  /** The files whose exported functions are its ops, beside the built-in ones. */
  taskFiles: TaskFileRef[];
  /** The permissions of task code. */
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

/** An op whose runs have a process each, as a process of the pool found it. */
export interface SingleOp {
  op: string;
  /** The task file, as it was named on the command line. */
  file: string;
  /** The permissions of its runs; absent: the same as for all ops. */
  permissions?: TaskPermissions;
}

/** First line on the child's stdin. */
export interface PoolStart extends PoolWork {
  server: {
    hostname: string;
    port: number;
    tls?: { readonly caCerts: readonly string[] };
    /** Further servers of the same cluster. */
    others?: readonly { readonly hostname: string; readonly port: number }[] | undefined;
  };
  secret: string;
  workers: number;
  /** The name of this machine, for people. */
  machine?: string | undefined;
  /** The name of the pool: a process takes the place of another one with the same name. */
  pool?: string;
  /** Connect again when the link is lost (`sd work`), or end at once (the server's own pool). */
  reconnect: boolean;
  /** The process takes one task of these ops, and ends with it. */
  single?: SingleOp[];
  /** A process with `single` connects again while it runs its task. */
  resumes?: boolean;
  /** Proves that a line on the child's stdout comes from the pool and not from a task. */
  nonce: string;
}

/** A later line on stdin. */
export type ParentOrder =
  /** Finish the tasks that you hold, for at most this time, then end. */
  | { stop: true; grace_ms: number }
  /** Answer `alive`. A process that does not is frozen. */
  | { ask: true };

/** A line on the child's stdout. Each carries the nonce of the start, so that no task can write one. */
export type PoolNews =
  /** The process is connected, and gets tasks from now on. */
  | { nonce: string; ready: true; single: SingleOp[] }
  /** The process has got its only task; `taken` is the time limit in ms. */
  | { nonce: string; taken: number }
  /** The process ends soon, for this reason: start another now. */
  | { nonce: string; retiring: string }
  /** The task files do not load, for this reason; the process ends. */
  | { nonce: string; fault: string }
  /** A line for the operator. */
  | { nonce: string; said: string }
  /** The answer to `ask`. */
  | { nonce: string; alive: true };
