/**
 * What passes between a worker process (`sd work --pool`) and the process that started it, over the
 * child's stdin and stdout; nothing secret stands in an argument or the environment. One JSON object
 * a line. The parent keeps stdin open as long as it lives: its end means that the parent is gone.
 */

/** First line on the child's stdin. */
export interface PoolStart {
  server: { hostname: string; port: number; tls?: { readonly caCerts: readonly string[] } };
  secret: string;
  workers: number;
  /** Name of the pool among its server's own; absent for `sd work`. */
  pool?: string;
  /** Connect again when the link is lost (`sd work`), or leave at once (the server's own pool). */
  reconnect: boolean;
  /** The child proves with it that a line on its stdout comes from the pool and not from a task. */
  nonce: string;
}

/** Any later line on stdin: finish what you hold, for so long at most, then leave. */
export interface PoolStop {
  stop: true;
  grace_ms: number;
}

/** On the child's stdout: a worker would not stop, so this process ends soon; start another now. */
export interface PoolRetiring {
  retiring: string;
}
