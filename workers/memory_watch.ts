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
/** What a worker takes outside of what it tells of when it loads, and what comes and goes in any process. */
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
  /** How often it has told, and when it was seen to last. */
  told: number;
  toldAt: number;
  /** The task that runs, since when, and what there was when it began. */
  seq: number | undefined;
  since: number;
  ownBefore: number;
  untoldBefore: number;
}

/** What of the process no worker has told of: without, and with what workers that ended may still have. */
interface Untold {
  readonly least: number;
  readonly most: number;
}

interface Run<T> {
  readonly task: WeighedTask<T>;
  readonly seat: Seat;
  /** How much of the untold it can have taken. */
  readonly grown: number;
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
    const guilty = runs.filter(({ task: { thread }, seat }) =>
      !isSilent(seat, now) && thread.row.memoryBytes - seat.ownBefore > this.#shareBytes
    );
    if (guilty.length > 0) return { guilty: guilty.map(({ task }) => task), suspects: [] };
    return this.#judgeSilent(runs, threads, now);
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

  #judgeSilent(
    runs: readonly Run<T>[],
    threads: readonly T[],
    now: number,
  ): MemoryVerdict<T> | undefined {
    const share = this.#shareBytes;
    const isYoung = ({ seat }: Run<T>) => now - seat.since < SILENT_MS;
    const silent = runs.filter((run) => !isYoung(run) && isSilent(run.seat, now));
    const held = silent.length > 0 ? [...silent, ...runs.filter(isYoung)] : runs;
    const [most] = held.toSorted((a, b) => b.grown - a.grown);
    if (!most || isYoung(most)) return undefined;
    const newer = threads.filter((thread) => this.#seatOf(thread, now).madeAt > most.seat.since);
    const allowed = NOISE_BYTES + newer.length * LOADING_BYTES +
      held.reduce((sum, { grown }) => sum + Math.min(share, Math.max(0, grown)), 0);
    if (most.grown <= allowed) return undefined;
    const able = held.filter(({ grown }) => grown > share);
    // What has only begun will soon tell, or be silent; where tasks come and go, that is no excuse for ever.
    if (able.some(isYoung) && most.grown < 2 * allowed) return undefined;
    return this.#verdictOn(able.filter((run) => !isYoung(run)));
  }

  #verdictOn(able: readonly Run<T>[]): MemoryVerdict<T> {
    const tasks = able.map(({ task }) => task);
    if (tasks.length === 1) return { guilty: tasks, suspects: [] };
    this.#isUndecided = true;
    return { guilty: [], suspects: tasks };
  }

  /** The task that runs on `thread`, and what it is to be held to. */
  #runOn(thread: T, untold: Untold, now: number): Run<T> | undefined {
    const seat = this.#seatOf(thread, now);
    const { memoryTold, memoryBytes } = thread.row;
    if (seat.told !== memoryTold) {
      seat.told = memoryTold;
      seat.toldAt = now;
    }
    const task = thread.current();
    if (task && task.seq !== seat.seq) {
      seat.since = now;
      seat.ownBefore = memoryBytes;
      // It began between two looks: the lower one, so that nothing that it has taken is forgotten.
      seat.untoldBefore = Math.min(this.#untold.most, untold.most);
    }
    seat.seq = task?.seq;
    if (!task) return undefined;
    return { task: { thread, line: task.line }, seat, grown: untold.least - seat.untoldBefore };
  }

  #readUntold(threads: readonly T[], now: number): Untold {
    const { rss, heapTotal, external } = this.#read();
    this.#leaving = this.#leaving.filter(({ until }) => until > now);
    const leaving = this.#leaving.reduce((sum, { bytes }) => sum + bytes, 0);
    // What a worker has reserved and never touched is not in the process, so no more than its share counts.
    const told = threads.reduce(
      (sum, { row }) => sum + Math.min(row.memoryBytes, this.#shareBytes),
      0,
    );
    const most = rss - heapTotal - external - told;
    return { least: most - leaving, most };
  }

  #seatOf(thread: T, now: number): Seat {
    let seat = this.#seats.get(thread);
    if (!seat) {
      const { memoryBytes: ownBefore, memoryTold: told } = thread.row;
      const nothing = { seq: undefined, since: now, untoldBefore: 0, loaded: undefined };
      seat = { madeAt: now, told, toldAt: now, ownBefore, ...nothing };
      this.#seats.set(thread, seat);
    }
    return seat;
  }
}

function isSilent({ since, toldAt }: Seat, now: number): boolean {
  return now - Math.max(since, toldAt) >= SILENT_MS;
}
