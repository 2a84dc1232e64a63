/**
 * Finds the task that takes more memory than a worker's share. The system knows only the memory of the whole process,
 * and a worker only that of its isolate, so the two are combined:
 *
 *     reported      memory of an isolate, as its worker reports it: at each beat while it awaits, and between tasks
 *     unreported    the rest of the process: memory of workers that run a task and cannot report
 *
 * A task that awaits is judged by the reports of its worker. A task that does not yield is judged by the growth of the
 * unreported memory since it began, as far as no other task can have taken it. If several tasks can have, and one of
 * them must have, all of them are suspects. Memory that existed before a task never counts against it, nor does
 * memory that an ended worker has perhaps not returned yet.
 *
 * A worker reports neither WebAssembly memory nor a `SharedArrayBuffer`. So while no task is silent, the tasks that
 * await are judged by the unreported memory as well. `Pool` owns the watch, `ThreadWatch` calls it.
 */

const MIB = 1024 * 1024;
/** Silence after which a worker runs code that does not yield, in ms: two beats. */
const SILENT_MS = 100;
/** Longest time until the memory of an ended worker is back with the system, in ms. */
const LEAVING_MS = 500;
/** Memory that a worker takes without a report: while it loads, or for a moment between two beats. */
const LOADING_BYTES = 16 * MIB;
/** Variation of the memory of any process. */
const NOISE_BYTES = 16 * MIB;

/** A worker, as far as the watch reads it. */
interface WeighedThread {
  readonly row: { readonly memoryBytes: number; readonly memoryReports: number };
  current(): { readonly seq: number; readonly line: string } | undefined;
}

/** A running task, by its line. */
interface WeighedTask<T> {
  readonly thread: T;
  readonly line: string;
}

interface MemoryVerdict<T> {
  /** Each of these takes more than the share. */
  readonly guilty: readonly WeighedTask<T>[];
  /** At least one of these does. */
  readonly suspects: readonly WeighedTask<T>[];
}

interface MemoryWatchOptions {
  readonly shareBytes: number;
  /** Memory of the process, and the part of this thread. */
  readonly read?: () => { rss: number; heapTotal: number; external: number };
}

interface Seat {
  readonly madeAt: number;
  /** Reported memory when the worker had loaded; `undefined` before. */
  loaded: number | undefined;
  /** Number of its reports. */
  reports: number;
  /** The running task, its start, and the memory at its start. */
  seq: number | undefined;
  since: number;
  ownBefore: number;
  unreportedBefore: number;
  /** The time of the last report, or of the start of the task if that came later; and the unreported memory then. */
  heardAt: number;
  unreportedThen: number;
}

/** The unreported memory: without, and with the memory that ended workers can still hold. */
interface Unreported {
  readonly least: number;
  readonly most: number;
}

interface Run<T> {
  readonly task: WeighedTask<T>;
  readonly seat: Seat;
  /** Memory of the task in the reports of its worker. */
  readonly reported: number;
  /** Growth of the unreported memory since the last report, and since the task began. */
  readonly grown: number;
  readonly grownInAll: number;
  /** The worker had the time for a report, and made none. */
  readonly isSilent: boolean;
}

export class MemoryWatch<T extends WeighedThread> {
  readonly #shareBytes: number;
  readonly #read: NonNullable<MemoryWatchOptions["read"]>;
  readonly #seats = new WeakMap<T, Seat>();
  #leaving: { readonly bytes: number; readonly until: number }[] = [];
  /** The unreported memory at the last look. */
  #unreported: Unreported = { least: 0, most: 0 };
  /** Suspects were named: the process will end. */
  #isUndecided = false;
  /** Memory of the process when it began to end. */
  #closedAt = Infinity;

  constructor({ shareBytes, read = () => Deno.memoryUsage() }: MemoryWatchOptions) {
    this.#shareBytes = shareBytes;
    this.#read = read;
  }

  /** `thread` has loaded. */
  ready(thread: T, now: number): void {
    this.#seatOf(thread, now).loaded = thread.row.memoryBytes;
  }

  /** `thread` ends; its memory will be back with the system soon. */
  left(thread: T, now: number): void {
    this.#leaving.push({ bytes: thread.row.memoryBytes, until: now + LEAVING_MS });
  }

  /** Tasks are about to begin after a time without tasks: the memory of now belongs to none of them. */
  begin(threads: readonly T[], now: number): void {
    this.#unreported = this.#readUnreported(threads, now);
  }

  /** Call it every few ms while tasks run. */
  look(threads: readonly T[], now: number): MemoryVerdict<T> | undefined {
    const unreported = this.#readUnreported(threads, now);
    const runs = threads.flatMap((thread) => this.#runOn(thread, unreported, now) ?? []);
    this.#unreported = unreported;
    if (this.#isUndecided) return undefined;
    const guilty = runs.filter(({ reported }) => reported > this.#shareBytes);
    if (guilty.length > 0) return { guilty: guilty.map(({ task }) => task), suspects: [] };
    return runs.some(({ isSilent }) => isSilent)
      ? this.#judge(runs, { by: "grown", isRipe: ({ isSilent }) => isSilent, threads })
      : this.#judge(runs, {
        by: "grownInAll",
        isRipe: ({ seat }) => now - seat.since >= SILENT_MS,
        threads,
      });
  }

  /** Whether `thread` keeps too much memory between two tasks: the next task would have too little. */
  isSpent(thread: T): boolean {
    const seat = this.#seats.get(thread);
    if (seat?.loaded === undefined) return false;
    const kept = seat.seq === undefined || thread.current() === undefined
      ? thread.row.memoryBytes
      : seat.ownBefore;
    return kept - seat.loaded > this.#shareBytes / 2;
  }

  /** The process is about to end. */
  close(): void {
    this.#closedAt = this.#read().rss;
  }

  /** Whether the process goes on growing while it ends. */
  get isRunningAway(): boolean {
    return this.#read().rss - this.#closedAt > this.#shareBytes / 2;
  }

  /** The tasks that must have taken too much: the unreported memory is more than all running tasks may have. */
  #judge(
    runs: readonly Run<T>[],
    { by, isRipe, threads }: {
      by: "grown" | "grownInAll";
      isRipe: (run: Run<T>) => boolean;
      threads: readonly T[];
    },
  ): MemoryVerdict<T> | undefined {
    const [most] = runs.filter(isRipe).toSorted((a, b) => b[by] - a[by]);
    if (!most) return undefined;
    const room = ({ reported }: Run<T>) => this.#shareBytes - reported;
    const newer = threads.filter((thread) => this.#seatOf(thread, 0).madeAt > most.seat.since);
    const busy = runs.filter(({ isSilent }) => !isSilent);
    const allowed = NOISE_BYTES + (newer.length + busy.length) * LOADING_BYTES +
      runs.reduce((sum, run) => sum + Math.min(room(run), Math.max(0, run[by])), 0);
    if (most[by] <= allowed) return undefined;
    const able = runs.filter((run) => run[by] > room(run));
    const ripe = able.filter(isRipe).map(({ task }) => task);
    if (able.length === 1) return { guilty: ripe, suspects: [] };
    // A task that has only begun will soon be reported, or be silent. With much memory, the verdict does not wait.
    if (ripe.length < able.length && most[by] < 2 * allowed) return undefined;
    this.#isUndecided = true;
    return { guilty: [], suspects: ripe };
  }

  /** The running task of `thread`, and the memory by which it is judged. */
  #runOn(thread: T, unreported: Unreported, now: number): Run<T> | undefined {
    const seat = this.#seatOf(thread, now);
    const { memoryReports, memoryBytes } = thread.row;
    const task = thread.current();
    const isNew = task !== undefined && task.seq !== seat.seq;
    seat.seq = task?.seq;
    // The lower value of two looks, so that no memory of the task is left out.
    const then = Math.min(this.#unreported.most, unreported.most);
    if (isNew || seat.reports !== memoryReports) {
      seat.reports = memoryReports;
      seat.heardAt = now;
      seat.unreportedThen = then;
    }
    if (isNew) {
      seat.since = now;
      seat.ownBefore = memoryBytes;
      seat.unreportedBefore = then;
    }
    if (!task) return undefined;
    return {
      task: { thread, line: task.line },
      seat,
      reported: Math.max(0, memoryBytes - seat.ownBefore),
      grown: unreported.least - seat.unreportedThen,
      grownInAll: unreported.least - seat.unreportedBefore,
      isSilent: now - seat.heardAt >= SILENT_MS,
    };
  }

  #readUnreported(threads: readonly T[], now: number): Unreported {
    const { rss, heapTotal, external } = this.#read();
    this.#leaving = this.#leaving.filter(({ until }) => until > now);
    const leaving = this.#leaving.reduce((sum, { bytes }) => sum + bytes, 0);
    // Memory that a worker reserved and never used is not in the process: a report counts for twice the share at most.
    const maxReported = 2 * this.#shareBytes;
    const reported = threads.reduce(
      (sum, { row }) => sum + Math.min(row.memoryBytes, maxReported),
      0,
    );
    const most = rss - heapTotal - external - reported;
    return { least: most - leaving, most };
  }

  #seatOf(thread: T, now: number): Seat {
    let seat = this.#seats.get(thread);
    if (!seat) {
      seat = {
        madeAt: now,
        loaded: undefined,
        reports: thread.row.memoryReports,
        seq: undefined,
        since: now,
        ownBefore: 0,
        unreportedBefore: 0,
        heardAt: now,
        unreportedThen: 0,
      };
      this.#seats.set(thread, seat);
    }
    return seat;
  }
}
