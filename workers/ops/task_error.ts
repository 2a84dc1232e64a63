/**
 * The error by which a handler says whether another attempt is worth while. Task files find it as the
 * global `TaskError`; `sd init` writes its type.
 */

export interface TaskErrorOptions extends ErrorOptions {
  /** `false`: the task fails now, whatever attempts it has left. Default: true. */
  retry?: boolean;
}

export class TaskError extends Error {
  override readonly name = "TaskError";
  readonly retry: boolean;

  constructor(message: string, { retry = true, ...options }: TaskErrorOptions = {}) {
    super(message, options);
    this.retry = retry;
  }
}
