/** The requests to an engine about runs that go on although their server or their link was lost; see `Engine.adopt`. */

/** A run that a worker process goes on with, although its server or its link was lost. */
export interface HeldRun {
  readonly id: string;
  /** The attempt, counted from 1, as it was handed out. */
  readonly attempt: number;
  /** When the run started, by the clock of its worker process. */
  readonly startedAt: number;
  /** The loss of its link was counted as the death of its process, which lives. */
  readonly wasBlamed?: boolean;
}

/** A request to go on with runs under new leases. */
export interface AdoptRequest {
  readonly runs: readonly HeldRun[];
  /** As in `LeaseRequest`. */
  readonly leaseUntil: number;
  /** As in `LeaseRequest`. */
  readonly versions?: ReadonlyMap<string, string>;
}

/** Starts that must wait after a takeover, until the worker processes of the server before are back. */
export interface Reservation {
  /** Ids of tasks that do not start: a worker process is expected to go on with them. */
  readonly tasks: ReadonlySet<string>;
  /** The end of the reservation. Until then no task starts that has a key or an op with a limit. */
  readonly until: number;
}
