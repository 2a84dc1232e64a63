/**
 * Keeps one worker process running: starts it, and starts its successor when it retires, ends or is killed, or when
 * its task files have changed. No process is left behind: each ends by itself when its stdin ends, and is killed if it
 * does not end in time. `PoolSupervisor` owns it.
 */

import { MAX_TIMEOUT_MS } from "../../protocol/limits.ts";
import type { PoolNews, PoolWork, TaskFileRef } from "../../protocol/pool_start.ts";
import { EXIT } from "../exit.ts";
import { stateDirIfAny } from "../state_dir.ts";
import { removeLeftFolders } from "./own_folders.ts";
import { type ChildStart, crashMessage, crashOf, PoolChild } from "./pool_child.ts";
import { OwnExecutable, type Startable } from "./self_command.ts";
import { SingleKeeper } from "./single_keeper.ts";
import { TaskVersions } from "./task_versions.ts";

/** Shortest normal life of a process, in ms: after several shorter ones in a row, the next starts are delayed. */
const YOUNG_MS = 1000;
const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 5000;
/** Processes in a row that ended before they were connected, after which all of them are considered faulty. */
const MANY_STILLBORN = 3;
/** Time between two checks whether the executable was replaced, in ms. */
const LOOK_MS = 1000;
/** Longest time in which a retiring process ends by itself, in ms. */
const RETIRE_MS = 10_000;

export type PoolEvent =
  | { type: "started"; pid: number }
  /** The process is connected to the server. `reloaded`: it replaces a process with older task files. */
  | { type: "ready"; pid: number; reloaded: boolean }
  /** The process has not answered for `ms`: it is killed. */
  | { type: "frozen"; pid: number; ms: number }
  /** The process ends soon, by its own decision, and another is started. */
  | { type: "retiring"; pid: number; why: string }
  /** The task files do not load. `kept`: the version before them is used. */
  | { type: "fault"; pid: number; message: string; kept: boolean }
  /** The path of the executable leads to another file, or to none: processes are started from a copy. */
  | { type: "replaced"; path: string }
  /** No process can be started, or each ends at once. Another is tried. */
  | { type: "failing"; reason: string }
  /** `unexpected`: it was not asked to end. */
  | { type: "exited"; pid: number; code: number; signal: string | null; unexpected: boolean };

export interface PoolKeeperOptions {
  readonly start: ChildStart;
  readonly onEvent?: (event: PoolEvent) => void;
  /** A line for the operator. `isRaw`: any code in the process can have written it. */
  readonly onTalk?: (pid: number, line: string, isRaw: boolean) => void;
  /** Silence after which a process that has been connected is replaced, in ms. */
  readonly frozenMs?: number | undefined;
}

export class PoolKeeper {
  readonly #onEvent: (event: PoolEvent) => void;
  readonly #onTalk: (pid: number, line: string, isRaw: boolean) => void;
  readonly #children = new Set<PoolChild>();
  readonly #singles: SingleKeeper;
  readonly #versions = new TaskVersions();
  readonly #frozenMs: number | undefined;
  #start: ChildStart;
  /** The process that takes tasks; others in `#children` are about to end. */
  #current: PoolChild | undefined;
  /** The process that loads changed task files, and takes over afterwards. */
  #candidate: PoolChild | undefined;
  #started = false;
  #stopped = false;
  /** Processes in a row that lived shorter than `YOUNG_MS`. */
  #youngDeaths = 0;
  /** Processes in a row that ended before they were connected. */
  #stillborn = 0;
  #restart: ReturnType<typeof setTimeout> | undefined;
  /** A process for changed task files will start, and is not yet `#candidate`. */
  #reloading = false;
  readonly #executable = new OwnExecutable();
  #looking: ReturnType<typeof setInterval> | undefined;
  #sweep: ReturnType<typeof setTimeout> | undefined;
  /** Number of starts: if two wait for a copy of the executable, only the later one counts. */
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

  /** Starts the process, once; does nothing after `stop`. Throws if the process cannot be started. */
  start(): void {
    if (this.#started || this.#stopped) return;
    this.#started = true;
    this.#current = this.#spawn(this.#executable.original, "current");
    this.#looking = setInterval(() => void this.#look(), LOOK_MS);
    // Killed processes have left copies. Their removal waits until the workers have started.
    this.#sweep = setTimeout(() => removeLeftFolders(stateDirIfAny()), LOOK_MS);
  }

  /**
   * The task files have changed: a fresh process loads them. Once it is connected it takes all tasks, and the process
   * before finishes its running tasks. If the files do not load, that one goes on as before.
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

  /** Lets running tasks finish for at most `graceMs`, then ends the process for good. */
  async stop(graceMs: number): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#restart);
    clearInterval(this.#looking);
    clearTimeout(this.#sweep);
    await Promise.all([
      this.#singles.stop(graceMs),
      ...[...this.#children].map((child) => child.stop(graceMs)),
    ]);
    this.#versions.remove();
    await this.#executable.close();
  }

  /** Kills the process with this pid, if it is one of this keeper's; another takes its place. */
  kill(pid: number): void {
    for (const child of this.#children) if (child.pid === pid) void child.killAfter(0);
  }

  #spawn(program: Startable, as: "current" | "candidate"): PoolChild {
    const startedAt = performance.now();
    const load = this.#versions.next(this.#start, { mayFallBack: as === "current" });
    const child: PoolChild = new PoolChild(load.start, {
      hear: (news) => this.#hear(child, news),
      frozen: (ms) => this.#onEvent({ type: "frozen", pid: child.pid, ms }),
      said: (line, isRaw) => this.#onTalk(child.pid, line, isRaw),
    }, { program, frozenMs: this.#frozenMs });
    this.#versions.started(child, load);
    this.#children.add(child);
    this.#onEvent({ type: "started", pid: child.pid });
    void child.ended.then((status) => this.#ended(child, { ...status, startedAt }));
    return child;
  }

  /** Copies of the files as they last loaded; `undefined` if there are none, or they cannot be written. */
  #keptFiles(): TaskFileRef[] | undefined {
    try {
      return this.#versions.lastGoodFiles();
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      this.#onEvent({ type: "failing", reason: error.message });
      return undefined;
    }
  }

  /** Starts the next process, from a copy of the executable if needed; tries again if that fails. */
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
      // Tried now, so that the operator learns early if it fails.
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
      const start = this.#versions.loaded(child) ?? this.#start;
      if (this.#current === child) this.#singles.use(start, news.single);
    } else if ("retiring" in news) this.#retire(child, news.retiring);
    else if ("fault" in news) {
      const isSpare = child !== this.#current && this.#current !== undefined;
      const kept = this.#versions.failed(child, { isSpare }) || isSpare;
      this.#onEvent({ type: "fault", pid: child.pid, message: news.fault, kept });
    }
  }

  #promote(child: PoolChild): void {
    const reloaded = child === this.#candidate;
    this.#stillborn = 0;
    this.#onEvent({ type: "ready", pid: child.pid, reloaded });
    if (!reloaded) return;
    this.#candidate = undefined;
    // Its running tasks have their own time limits.
    void this.#current?.stop(MAX_TIMEOUT_MS);
    this.#current = child;
    this.#youngDeaths = 0;
  }

  /** The process reports that it is about to end: its successor starts at once. */
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
    const crash = this.#versions.loadsCurrent(child) && !child.wasReady && crashOf(signal);
    this.#children.delete(child);
    const wasCandidate = this.#candidate === child;
    if (wasCandidate) this.#candidate = undefined;
    if (wasCandidate && crash && !this.#stopped) {
      this.#crashed(child, { crash, kept: this.#current !== undefined });
    }
    const unexpected = this.#current === child && !this.#stopped;
    this.#onEvent({ type: "exited", pid: child.pid, code, signal, unexpected });
    if (wasCandidate && !this.#current) this.#spawnAgain();
    // The server refuses this process, and would refuse the next one too.
    if (unexpected && code !== EXIT.unauthorized) {
      this.#current = undefined;
      if (performance.now() - startedAt >= YOUNG_MS) this.#youngDeaths = 0;
      this.#spawnAgain();
      if (!child.wasReady) this.#diedUnready(child, crash);
    }
    this.#versions.ended(child);
  }

  /** `child`, which was never connected, has ended by itself. */
  #diedUnready(child: PoolChild, crash: string | false | undefined): void {
    if (++this.#stillborn < MANY_STILLBORN) return;
    if (crash) {
      this.#stillborn = 0;
      this.#crashed(child, { crash, kept: this.#versions.failed(child, { isSpare: false }) });
    } else if (this.#stillborn === MANY_STILLBORN) {
      this.#onEvent({ type: "failing", reason: "each ends as soon as it is started" });
    }
  }

  /** The process crashed before it could report what is wrong with the task files. */
  #crashed(child: PoolChild, { crash, kept }: { crash: string; kept: boolean }): void {
    const message = crashMessage(this.#start.taskFiles, crash);
    this.#onEvent({ type: "fault", pid: child.pid, message, kept });
  }

  /** Starts the next process: at once, or later after several short lives in a row. */
  #spawnAgain(): void {
    // A candidate takes over when it has loaded.
    if (this.#stopped || this.#candidate || this.#reloading) return;
    this.#delayNext("current");
  }

  #delayNext(as: "current" | "candidate"): void {
    const deaths = this.#youngDeaths++;
    const delayMs = deaths === 0 ? 0 : Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (deaths - 1));
    this.#restart = setTimeout(() => void this.#startNext(as), delayMs);
  }
}
