/** The use cases `pause` and `resume`: of one op, or of all. */

/** What is paused, and the keeping of it. */
export interface PauseKeeper {
  readonly list: string[];
  pause(op?: string): Promise<void>;
  resume(op?: string): Promise<void>;
}

export interface PausingOptions {
  readonly pauses: PauseKeeper;
  /** Resolves when no lease is under way that was begun before. */
  readonly leased: () => Promise<void>;
}

/** What is paused now; `["*"]` when that is all ops. */
export interface PauseAnswer {
  readonly paused: string[];
}

export class Pausing {
  readonly #options: PausingOptions;

  constructor(options: PausingOptions) {
    this.#options = options;
  }

  /** Resolves once it is safe, and no task of it is handed out any more; running ones go on. */
  async pause(op?: string): Promise<PauseAnswer> {
    const { pauses, leased } = this.#options;
    await pauses.pause(op);
    await leased();
    return { paused: pauses.list };
  }

  async resume(op?: string): Promise<PauseAnswer> {
    const { pauses } = this.#options;
    await pauses.resume(op);
    return { paused: pauses.list };
  }
}
