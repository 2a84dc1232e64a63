/**
 * Finds out which task takes more memory than a worker's share. The system knows of the process as a
 * whole, and a worker of its own isolate only, so both are put together:
 *
 *     told      what a worker says of its isolate: at each beat while it awaits, and between tasks
 *     untold    what the process has beside that: of workers that run a task and cannot speak
 *
 * A task that awaits is held to what its own worker tells. One that does not is held to how far the
 * untold has grown since it began, as far as no other task can have taken it. Where several can have, and
 * one of them must, all of them are suspects. Memory that was there before a task is never held against
 * it, and a task is never blamed for what a worker that has left may not have given back yet.
 *
 * Neither a WebAssembly memory nor a `SharedArrayBuffer` is in what a worker tells: while no task is
 * silent, those that await are held to the untold as well.
 */

const MIB = 1024 * 1024;
/** Two beats: a worker that has told nothing for so long runs what does not give way. */
const SILENT_MS = 100;
/** The system has had the memory of a worker that ended back within this. */
const LEAVING_MS = 500;
/**
 * What a worker takes outside of what it tells of when it loads, or has and gives back between two beats;
 * and what comes and goes in any process.
 */
const LOADING_BYTES = 16 * MIB;
const NOISE_BYTES = 16 * MIB;

/** What is read of a worker. */
export interface WeighedThread {
  readonly row: { readonly memoryBytes: number; readonly memoryTold: number };
  current(): { readonly seq: number; readonly line: string } | undefined;
}

/** A task that runs, by its line. */
export interface WeighedTask<T> {
  readonly thread: T;
  readonly line: string;
}

export interface MemoryVerdict<T> {
  /** These take more than the share. */
  readonly guilty: readonly WeighedTask<T>[];
  /** One of these does, at least. */
  readonly suspects: readonly WeighedTask<T>[];
}

export interface MemoryWatchOptions {
  readonly shareBytes: number;
  /** Of the process, and of what this thread has of it. */
  readonly read?: () => { rss: number; heapTotal: number; external: number };
}

interface Seat {
  readonly madeAt: number;
  /** What the worker told when it had loaded; `undefined` until it has. */
  loaded: number | undefined;
  /** How often it has told. */
  told: number;
  /** The task that runs, since when, and what there was when it began. */
  seq: number | undefined;
  since: number;
  ownBefore: number;
  untoldBefore: number;
  /** When the worker told last, or the task began, whichever came later; and the untold then. */
  spokeAt: number;
  untoldThen: number;
}

/** What of the process no worker has told of: without, and with what workers that ended may still have. */
interface Untold {
  readonly least: number;
  readonly most: number;
}

interface Run<T> {
  readonly task: WeighedTask<T>;
  readonly seat: Seat;
  /** How much its worker has told of it. */
  readonly told: number;
  /** How much of the untold it can have taken, since its worker told last, and in all. */
  readonly grown: number;
  readonly grownInAll: number;
  /** It has had the time to tell, and has not. */
  readonly isSilent: boolean;
}

export class MemoryWatch<T extends WeighedThread> {
  readonly #shareBytes: number;
  readonly #read: NonNullable<MemoryWatchOptions["read"]>;
  readonly #seats = new WeakMap<T, Seat>();
  #leaving: { readonly bytes: number; readonly until: number }[] = [];
  /** At the last look. */
  #untold: Untold = { least: 0, most: 0 };
  /** Suspects were named: the process ends for them. */
  #isUndecided = false;
  /** What the process took when it began to end. */
  #closedAt = Infinity;

  constructor({ shareBytes, read = () => Deno.memoryUsage() }: MemoryWatchOptions) {
    this.#shareBytes = shareBytes;
    this.#read = read;
  }

  /** `thread` has loaded. */
  ready(thread: T, now: number): void {
    this.#seatOf(thread, now).loaded = thread.row.memoryBytes;
  }

  /** `thread` ends; the system will have its memory soon. */
  left(thread: T, now: number): void {
    this.#leaving.push({ bytes: thread.row.memoryBytes, until: now + LEAVING_MS });
  }

  /** Tasks are about to begin, after none ran: what is there now is of none of them. */
  begin(threads: readonly T[], now: number): void {
    this.#untold = this.#readUntold(threads, now);
  }

  /** To be called every few ms while tasks run. */
  look(threads: readonly T[], now: number): MemoryVerdict<T> | undefined {
    const untold = this.#readUntold(threads, now);
    const runs = threads.flatMap((thread) => this.#runOn(thread, untold, now) ?? []);
    this.#untold = untold;
    if (this.#isUndecided) return undefined;
    const guilty = runs.filter(({ told }) => told > this.#shareBytes);
    if (guilty.length > 0) return { guilty: guilty.map(({ task }) => task), suspects: [] };
    return runs.some(({ isSilent }) => isSilent)
      ? this.#judge(runs, { by: "grown", isRipe: ({ isSilent }) => isSilent, threads })
      : this.#judge(runs, {
        by: "grownInAll",
        isRipe: ({ seat }) => now - seat.since >= SILENT_MS,
        threads,
      });
  }

  /** Between two tasks `thread` kept so much that the next would have too little, and is not to blame. */
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

  /** The process goes on growing while it ends. */
  get isRunningAway(): boolean {
    return this.#read().rss - this.#closedAt > this.#shareBytes / 2;
  }

  /** Who must have taken too much of the untold: more than all that run may have of it. */
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
    const room = ({ told }: Run<T>) => this.#shareBytes - told;
    const newer = threads.filter((thread) => this.#seatOf(thread, 0).madeAt > most.seat.since);
    const busy = runs.filter(({ isSilent }) => !isSilent);
    const allowed = NOISE_BYTES + (newer.length + busy.length) * LOADING_BYTES +
      runs.reduce((sum, run) => sum + Math.min(room(run), Math.max(0, run[by])), 0);
    if (most[by] <= allowed) return undefined;
    const able = runs.filter((run) => run[by] > room(run));
    const ripe = able.filter(isRipe).map(({ task }) => task);
    if (able.length === 1) return { guilty: ripe, suspects: [] };
    // One that has only begun will soon tell, or be silent; where tasks come and go, that is no excuse for ever.
    if (ripe.length < able.length && most[by] < 2 * allowed) return undefined;
    this.#isUndecided = true;
    return { guilty: [], suspects: ripe };
  }

  /** The task that runs on `thread`, and what it is to be held to. */
  #runOn(thread: T, untold: Untold, now: number): Run<T> | undefined {
    const seat = this.#seatOf(thread, now);
    const { memoryTold, memoryBytes } = thread.row;
    const task = thread.current();
    const isNew = task !== undefined && task.seq !== seat.seq;
    seat.seq = task?.seq;
    // What was between two looks: the lower one, so that nothing that it has taken is forgotten.
    const then = Math.min(this.#untold.most, untold.most);
    if (isNew || seat.told !== memoryTold) {
      seat.told = memoryTold;
      seat.spokeAt = now;
      seat.untoldThen = then;
    }
    if (isNew) {
      seat.since = now;
      seat.ownBefore = memoryBytes;
      seat.untoldBefore = then;
    }
    if (!task) return undefined;
    return {
      task: { thread, line: task.line },
      seat,
      told: Math.max(0, memoryBytes - seat.ownBefore),
      grown: untold.least - seat.untoldThen,
      grownInAll: untold.least - seat.untoldBefore,
      isSilent: now - seat.spokeAt >= SILENT_MS,
    };
  }

  #readUntold(threads: readonly T[], now: number): Untold {
    const { rss, heapTotal, external } = this.#read();
    this.#leaving = this.#leaving.filter(({ until }) => until > now);
    const leaving = this.#leaving.reduce((sum, { bytes }) => sum + bytes, 0);
    // What a worker has reserved and never touched is not in the process: it counts for no more than it may have.
    const maxTold = 2 * this.#shareBytes;
    const told = threads.reduce((sum, { row }) => sum + Math.min(row.memoryBytes, maxTold), 0);
    const most = rss - heapTotal - external - told;
    return { least: most - leaving, most };
  }

  #seatOf(thread: T, now: number): Seat {
    let seat = this.#seats.get(thread);
    if (!seat) {
      seat = {
        madeAt: now,
        loaded: undefined,
        told: thread.row.memoryTold,
        seq: undefined,
        since: now,
        ownBefore: 0,
        untoldBefore: 0,
        spokeAt: now,
        untoldThen: 0,
      };
      this.#seats.set(thread, seat);
    }
    return seat;
  }
}
