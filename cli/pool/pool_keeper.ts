/**
 * Keeps one worker process running: starts it, starts its successor when it retires, ends, or is
 * killed, or when its task files have changed. Used by `sd serve` for its own workers and by `sd work`. No
 * process is ever left behind: each ends by itself when its stdin does, and is killed where it does not end
 * when it should.
 */

import { MAX_TIMEOUT_MS } from "../../protocol/limits.ts";
import type { PoolNews, PoolStart, PoolWork, TaskFileRef } from "../../protocol/pool_start.ts";
import { EXIT } from "../exit.ts";
import { OwnExecutable, type Startable } from "./own_executable.ts";
import { removeLeftFolders } from "./own_folders.ts";
import { crashOf, PoolChild, tellCrash } from "./pool_child.ts";
import { SingleKeeper } from "./single_keeper.ts";
import { stateDirIfAny } from "../state_dir.ts";
import { TaskSnapshot } from "./task_snapshot.ts";

/** One that ends sooner has died young: if that goes on, its successors wait. */
const YOUNG_MS = 1000;
const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 5000;
/** Processes in a row that ended before they were connected: with as many, something is wrong with all of them. */
const MANY_STILLBORN = 3;
/** How often it is looked whether the executable was replaced, in ms. */
const LOOK_MS = 1000;
/** A process that retires ends by itself well within this. */
const RETIRE_MS = 10_000;

export type PoolEvent =
  | { type: "started"; pid: number }
  /** Connected to the server; `reloaded`: it takes the place of one whose task files have changed. */
  | { type: "ready"; pid: number; reloaded: boolean }
  /** The process has not answered for `ms`: it is killed. */
  | { type: "frozen"; pid: number; ms: number }
  /** The process ends soon, for a reason of its own, and another is started. */
  | { type: "retiring"; pid: number; why: string }
  /** The task files do not load; `kept`: the process that has loaded them before goes on. */
  | { type: "fault"; pid: number; message: string; kept: boolean }
  /** The path of the executable leads to another file, or to none: processes are started from a copy. */
  | { type: "replaced"; path: string }
  /** No process can be started, or all of them end as soon as they are. It is tried again. */
  | { type: "failing"; reason: string }
  /** `unexpected`: nobody asked for it. */
  | { type: "exited"; pid: number; code: number; signal: string | null; unexpected: boolean };

export interface PoolKeeperOptions {
  readonly start: Omit<PoolStart, "nonce">;
  readonly onEvent?: (event: PoolEvent) => void;
  /** A line for the operator; `isRaw`: whatever runs in the process has written it. */
  readonly onTalk?: (pid: number, line: string, isRaw: boolean) => void;
  /** How long a process that has been connected may leave an ask unanswered before it is replaced, in ms. */
  readonly frozenMs?: number | undefined;
}

export class PoolKeeper {
  readonly #onEvent: (event: PoolEvent) => void;
  readonly #onTalk: (pid: number, line: string, isRaw: boolean) => void;
  readonly #children = new Set<PoolChild>();
  readonly #singles: SingleKeeper;
  /** What each process was started with; no snapshot where it is one of an earlier version. */
  readonly #loads = new Map<PoolChild, { start: Omit<PoolStart, "nonce">; text?: TaskSnapshot }>();
  /** The task files as they were when they loaded last. */
  #lastGood: TaskSnapshot | undefined;
  readonly #earlier: TaskSnapshot[] = [];
  /** The files do not load: the next process is one of the version that did. */
  #fallsBack = false;
  readonly #frozenMs: number | undefined;
  #start: Omit<PoolStart, "nonce">;
  /** The process that takes tasks; others in `#children` are about to end. */
  #current: PoolChild | undefined;
  /** Loads changed task files, and takes over once it has. */
  #candidate: PoolChild | undefined;
  #started = false;
  #stopped = false;
  /** Deaths in a row that came too soon. */
  #youngDeaths = 0;
  /** Deaths in a row of processes that were never connected. */
  #stillborn = 0;
  #restart: ReturnType<typeof setTimeout> | undefined;
  /** A process for changed task files is to be started, and is not yet `#candidate`. */
  #reloading = false;
  readonly #executable = new OwnExecutable();
  #looking: ReturnType<typeof setInterval> | undefined;
  #sweep: ReturnType<typeof setTimeout> | undefined;
  /** Counts what was to be started: of two that wait for a copy of the executable, the later one counts. */
  #turn = 0;

  constructor(
    { start, onEvent = () => {}, onTalk = () => {}, frozenMs }: PoolKeeperOptions,
  ) {
    this.#start = start;
    this.#onTalk = onTalk;
    this.#frozenMs = frozenMs;
    this.#onEvent = onEvent;
    this.#singles = new SingleKeeper(this.#executable, {
      started: (pid) => onEvent({ type: "started", pid }),
      fault: (message) => {
        const kept = this.#keptFiles();
        onEvent({ type: "fault", pid: 0, message, kept: kept !== undefined });
        return kept;
      },
      frozen: (pid, ms) => onEvent({ type: "frozen", pid, ms }),
      said: onTalk,
    });
  }

  /** Starts the process, once; a keeper that was stopped stays so. Throws where it cannot. */
  start(): void {
    if (this.#started || this.#stopped) return;
    this.#started = true;
    this.#current = this.#spawn(this.#executable.original, "current");
    this.#looking = setInterval(() => void this.#look(), LOOK_MS);
    // What was killed has left copies; that is no work for the moment in which the workers start.
    this.#sweep = setTimeout(() => removeLeftFolders(stateDirIfAny()), LOOK_MS);
  }

  /**
   * The task files have changed: a fresh process loads them. Once it is connected it takes all tasks, and
   * the one before finishes what it runs; where they do not load, that one goes on as before.
   */
  reload(work: PoolWork): void {
    if (!this.#started || this.#stopped) return;
    this.#start = { ...this.#start, ...work };
    const before = this.#candidate;
    this.#candidate = undefined;
    void before?.killAfter(0);
    clearTimeout(this.#restart);
    this.#reloading = true;
    void this.#startNext("candidate");
  }

  /** Lets the tasks that run finish for at most `graceMs`, then ends the process for good. */
  async stop(graceMs: number): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#restart);
    clearInterval(this.#looking);
    clearTimeout(this.#sweep);
    await Promise.all([
      this.#singles.stop(graceMs),
      ...[...this.#children].map((child) => child.stop(graceMs)),
    ]);
    for (const text of this.#earlier) text.remove();
    this.#lastGood?.remove();
    await this.#executable.close();
  }

  /** Kills the process with this pid, if it is one of this keeper's; another takes its place. */
  kill(pid: number): void {
    for (const child of this.#children) if (child.pid === pid) void child.killAfter(0);
  }

  #spawn({ path, release }: Startable, as: "current" | "candidate"): PoolChild {
    const startedAt = performance.now();
    const load = this.#nextLoad(as);
    const child: PoolChild = new PoolChild(load.start, {
      hear: (news) => {
        // It has read all that it needs.
        release();
        this.#hear(child, news);
      },
      frozen: (ms) => this.#onEvent({ type: "frozen", pid: child.pid, ms }),
      said: (line, isRaw) => this.#onTalk(child.pid, line, isRaw),
    }, { path, frozenMs: this.#frozenMs });
    this.#loads.set(child, load);
    this.#children.add(child);
    this.#onEvent({ type: "started", pid: child.pid });
    void child.ended.then((status) => {
      release();
      this.#ended(child, { ...status, startedAt });
    });
    return child;
  }

  /** Copies of the files as they loaded last; nothing if there are none, or the disk takes none. */
  #keptFiles(): TaskFileRef[] | undefined {
    try {
      return this.#lastGood?.files();
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      this.#onEvent({ type: "failing", reason: error.message });
      return undefined;
    }
  }

  /** The files as they are; as they loaded last, once, if a replacement of `#current` found that they do not load. */
  #nextLoad(as: "current" | "candidate"): { start: Omit<PoolStart, "nonce">; text?: TaskSnapshot } {
    const start = this.#start;
    if (start.taskFiles.length === 0) return { start };
    const fallsBack = this.#fallsBack && as === "current";
    this.#fallsBack = false;
    if (fallsBack && this.#lastGood) {
      return { start: { ...start, taskFiles: this.#lastGood.files() } };
    }
    return { start, text: new TaskSnapshot(start.taskFiles) };
  }

  /** Starts the next process, from a copy of the executable where it must be; tries again where it cannot. */
  async #startNext(as: "current" | "candidate"): Promise<void> {
    const turn = ++this.#turn;
    let program: Startable | undefined;
    try {
      program = await this.#executable.startable();
      if (this.#stopped || turn !== this.#turn) return program.release();
      const child = this.#spawn(program, as);
      this.#reloading = false;
      if (as === "candidate") this.#candidate = child;
      else this.#current = child;
    } catch (error) {
      program?.release();
      if (this.#stopped || turn !== this.#turn) return;
      if (program && error instanceof Deno.errors.PermissionDenied) {
        this.#executable.refuse(program);
      }
      const reason = error instanceof Error ? error.message : String(error);
      this.#onEvent({ type: "failing", reason });
      this.#delayNext(as);
    }
  }

  async #look(): Promise<void> {
    if (!this.#executable.isReplaced) return;
    clearInterval(this.#looking);
    const { path } = this.#executable;
    try {
      // Whether that can be done is best known before it must be.
      (await this.#executable.startable()).release();
      if (!this.#stopped) this.#onEvent({ type: "replaced", path });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (!this.#stopped) this.#onEvent({ type: "failing", reason });
    }
  }

  #hear(child: PoolChild, news: Exclude<PoolNews, { alive: true } | { said: string }>): void {
    if ("ready" in news) {
      this.#promote(child);
      const { start = this.#start, text } = this.#loads.get(child) ?? {};
      if (text) {
        // Processes that were started from copies of it may still run.
        if (this.#lastGood?.isWritten) this.#earlier.push(this.#lastGood);
        this.#lastGood = text;
      }
      if (this.#current === child) this.#singles.use(start, news.single);
    } else if ("retiring" in news) this.#retire(child, news.retiring);
    else if ("fault" in news) {
      const isOther = child !== this.#current && this.#current !== undefined;
      this.#fallsBack = !isOther && this.#lastGood !== undefined &&
        this.#loads.get(child)?.text !== undefined;
      const kept = isOther || this.#fallsBack;
      this.#onEvent({ type: "fault", pid: child.pid, message: news.fault, kept });
    }
  }

  #promote(child: PoolChild): void {
    const reloaded = child === this.#candidate;
    this.#stillborn = 0;
    this.#onEvent({ type: "ready", pid: child.pid, reloaded });
    if (!reloaded) return;
    this.#candidate = undefined;
    // Its tasks have limits of their own.
    void this.#current?.stop(MAX_TIMEOUT_MS);
    this.#current = child;
    this.#youngDeaths = 0;
  }

  /** The process says that it is about to end: its successor starts at once. */
  #retire(child: PoolChild, why: string): void {
    void child.killAfter(RETIRE_MS);
    if (this.#current !== child) return;
    this.#onEvent({ type: "retiring", pid: child.pid, why });
    this.#youngDeaths = 0;
    this.#current = undefined;
    this.#spawnAgain();
  }

  #ended(
    child: PoolChild,
    { code, signal, startedAt }: { code: number; signal: string | null; startedAt: number },
  ): void {
    const crash = this.#loads.get(child)?.text && !child.wasReady && crashOf(signal);
    this.#children.delete(child);
    this.#loads.delete(child);
    const wasCandidate = this.#candidate === child;
    if (wasCandidate) this.#candidate = undefined;
    if (wasCandidate && crash && !this.#stopped) {
      this.#crashed(child, { crash, kept: this.#current !== undefined });
    }
    const unexpected = this.#current === child && !this.#stopped;
    this.#onEvent({ type: "exited", pid: child.pid, code, signal, unexpected });
    if (wasCandidate && !this.#current) this.#spawnAgain();
    // The server does not want it, and will not want the next one either.
    if (!unexpected || code === EXIT.unauthorized) return;
    this.#current = undefined;
    if (performance.now() - startedAt >= YOUNG_MS) this.#youngDeaths = 0;
    this.#spawnAgain();
    if (child.wasReady || ++this.#stillborn < MANY_STILLBORN) return;
    if (crash) {
      this.#stillborn = 0;
      this.#fallsBack = this.#lastGood !== undefined;
      this.#crashed(child, { crash, kept: this.#fallsBack });
    } else if (this.#stillborn === MANY_STILLBORN) {
      this.#onEvent({ type: "failing", reason: "each ends as soon as it is started" });
    }
  }

  /** Its process was not able to say what is wrong with the task files. */
  #crashed(child: PoolChild, { crash, kept }: { crash: string; kept: boolean }): void {
    const message = tellCrash(this.#start.taskFiles, crash);
    this.#onEvent({ type: "fault", pid: child.pid, message, kept });
  }

  /** At once; after deaths in a row that came too soon, not so soon. */
  #spawnAgain(): void {
    // A candidate takes over as soon as it can.
    if (this.#stopped || this.#candidate || this.#reloading) return;
    this.#delayNext("current");
  }

  #delayNext(as: "current" | "candidate"): void {
    const deaths = this.#youngDeaths++;
    const delayMs = deaths === 0 ? 0 : Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (deaths - 1));
    this.#restart = setTimeout(() => void this.#startNext(as), delayMs);
  }
}
