/** The use cases `pause` and `resume`: of one op, of all, or of a recurring task. */

/** What is paused, and the keeping of it. */
export interface PauseKeeper {
  readonly list: string[];
  pause(op?: string): Promise<void>;
  resume(op?: string): Promise<void>;
}

/** The same for recurring tasks; each answers what the client is told. Throws `not_found`. */
export interface CronPauses {
  pause(id: string): Promise<object>;
  resume(id: string): Promise<object>;
}

/** What is to be paused or resumed: neither is all ops. */
export interface PauseRequest {
  readonly op?: string;
  readonly cronId?: string;
}

export interface PausingOptions {
  readonly pauses: PauseKeeper;
  /** Resolves when no lease is under way that was begun before. */
  readonly leased: () => Promise<void>;
  readonly crons: CronPauses;
}

export class Pausing {
  readonly #options: PausingOptions;

  constructor(options: PausingOptions) {
    this.#options = options;
  }

  /** Resolves once it is safe, and no task of it is handed out any more; running ones go on. */
  async pause({ op, cronId }: PauseRequest): Promise<object> {
    const { pauses, leased, crons } = this.#options;
    if (cronId !== undefined) return await crons.pause(cronId);
    await pauses.pause(op);
    await leased();
    return { paused: pauses.list };
  }

  async resume({ op, cronId }: PauseRequest): Promise<object> {
    const { pauses, crons } = this.#options;
    if (cronId !== undefined) return await crons.resume(cronId);
    await pauses.resume(op);
    return { paused: pauses.list };
  }
}
