/**
 * Notes for the next server of the same store: which worker processes are attached, and which of their runs last. They
 * are one small setting. A server that finds notes waits for these processes: runs that lasted are reserved for them, and
 * tasks with a limit start only when all of them are back, or when they have stopped their runs. So no limit is broken
 * by a takeover, and no long run starts again beside the first.
 *
 * Invariant: a process is noted, and that is committed, before it gets a task. It stays noted for as long as it may go on
 * with its runs after its link has ended. A server that stops with nothing running leaves no notes.
 */

import { SdError } from "../../protocol/errors.ts";
import { formatDuration } from "../../protocol/text_forms.ts";
import type { Clock } from "../clock.ts";
import type { Engine } from "../engine/engine.ts";
import type { Log } from "../log.ts";
import { Ticker } from "./upkeep.ts";

/** A worker process on its link, as far as the notes need it. */
interface NotedLink {
  /** The name of the process, if it goes on with its runs after a lost link. */
  readonly instance: string | undefined;
  /**
   * Its process belongs to this server, and ends with it. On a shared engine it can outlast the lead: when the server is
   * frozen, cut off, or stops.
   */
  readonly isOwn: boolean;
  /** The number of tasks that it holds. */
  readonly held: number;
  /** The ids of tasks that it has held since the last call, or longer. */
  lastingRuns(): string[];
}

interface PoolNotesOptions {
  readonly engine: Pick<Engine, "reserve" | "lastAt" | "lost"> & {
    readonly settings: Pick<Engine["settings"], "get" | "save">;
  };
  readonly clock: Clock;
  readonly log: Log;
  /** How long a process goes on with its runs without a server, in ms. */
  readonly holdMs: number;
}

interface Notes {
  readonly pools: readonly string[];
  readonly runs: readonly string[];
}

const SETTING = "takeover";
const NO_NOTES: Notes = { pools: [], runs: [] };
/** Most processes, and most runs, that are noted. */
const MAX_NOTED = 256;
/** Time between two looks at the runs, in ms. */
const LOOK_MS = 1000;
/** How long a process that is about to join stays noted, in ms: its link can end before that. */
const JOINING_MS = 60_000;

export class PoolNotes {
  readonly #options: PoolNotesOptions;
  readonly #ticker: Ticker;
  readonly #links = new Set<NotedLink>();
  /** Noted processes, and until when they are noted, on the awake clock; `Infinity` while they are attached. */
  readonly #pools = new Map<string, number>();
  /** Processes of the server before that are not back. */
  readonly #expected = new Set<string>();
  #runs: readonly string[] = [];
  #saved: string | undefined;
  #isClosed = false;

  constructor(options: PoolNotesOptions) {
    this.#options = options;
    const { clock, log } = options;
    this.#ticker = new Ticker({
      room: "dispatcher",
      clock,
      log,
      work: () => Promise.resolve(this.#look()),
    });
  }

  /** Begins to wait for the processes of the server before, if that has left notes. */
  begin(): void {
    const { engine, clock, holdMs } = this.#options;
    this.#saved = engine.settings.get(SETTING);
    const { pools, runs } = readNotes(this.#saved);
    if (pools.length === 0) return;
    for (const pool of pools) {
      this.#expected.add(pool);
      this.#pools.set(pool, clock.awake() + holdMs);
    }
    this.#runs = runs;
    // It takes effect at once. An engine whose lead is lost meanwhile would never answer.
    engine.reserve({ tasks: new Set(runs), until: clock.now() + holdMs })
      .catch((error) => this.#failed(error));
  }

  start(): void {
    const { log, holdMs } = this.#options;
    const { size } = this.#expected;
    if (size > 0) {
      const processes = size === 1 ? "the worker process" : `the ${size} worker processes`;
      const wait = formatDuration(holdMs);
      log.info("dispatcher", `up to ${wait}, long runs and limits wait for ${processes} of before`);
    }
    if (this.#keeps) this.#ticker.start();
  }

  /** A process is about to join; it can be given tasks once that has resolved. */
  joining(link: NotedLink): Promise<void> | undefined {
    const { instance } = link;
    if (instance === undefined || this.#endsWithServer(link) || !this.#keeps) return undefined;
    const isNoted = this.#pools.has(instance);
    this.#pools.set(instance, this.#options.clock.awake() + JOINING_MS);
    return isNoted ? undefined : this.#save();
  }

  /** A process has joined, and its runs have been taken up. */
  joined(link: NotedLink): void {
    const { instance } = link;
    if (instance === undefined || this.#endsWithServer(link) || !this.#keeps) return;
    this.#links.add(link);
    this.#pools.set(instance, Infinity);
    if (this.#expected.delete(instance) && this.#expected.size === 0) this.#endWait();
  }

  left(link: NotedLink): void {
    const { instance } = link;
    if (instance === undefined || !this.#links.delete(link) || this.#isClosed) return;
    // It may have joined again already.
    if ([...this.#links].some((other) => other.instance === instance)) return;
    const { clock, holdMs } = this.#options;
    this.#pools.set(instance, clock.awake() + holdMs);
  }

  /** Ends the looks, and leaves the notes as they are. */
  async stop(): Promise<void> {
    this.#isClosed = true;
    await this.#ticker.stop();
  }

  /** Leaves notes only of processes that still run tasks. Never rejects. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    await this.stop();
    const busy = [...this.#links].filter(({ held }) => held > 0);
    const stillAway = [...this.#expected];
    this.#runs = stillAway.length > 0 ? this.#runs : busy.flatMap((link) => link.lastingRuns());
    this.#pools.clear();
    for (const { instance } of busy) this.#pools.set(instance ?? "", Infinity);
    for (const pool of stillAway) this.#pools.set(pool, Infinity);
    if (this.#keeps) await this.#save();
  }

  /** The engine's settings outlive the server. */
  get #keeps(): boolean {
    return this.#options.engine.lastAt !== undefined;
  }

  #endsWithServer({ isOwn }: NotedLink): boolean {
    return isOwn && this.#options.engine.lost === undefined;
  }

  #look(): number {
    const now = this.#options.clock.awake();
    for (const [pool, until] of this.#pools) {
      if (until > now) continue;
      this.#pools.delete(pool);
      // The engine has ended the reservation by itself.
      this.#expected.delete(pool);
    }
    if (this.#expected.size === 0) {
      this.#runs = [...this.#links].flatMap((link) => link.lastingRuns()).slice(0, MAX_NOTED);
    }
    // An engine whose lead is lost does not answer: the next look must not wait for it.
    void this.#save();
    return LOOK_MS;
  }

  #endWait(): void {
    void this.#options.engine.reserve(undefined).catch((error) => this.#failed(error));
  }

  /** Commits the notes, if they have changed. */
  async #save(): Promise<void> {
    const pools = [...this.#pools.keys()].slice(0, MAX_NOTED);
    const notes: Notes = { pools, runs: pools.length > 0 ? this.#runs : [] };
    const text = pools.length > 0 ? JSON.stringify(notes) : undefined;
    if (text === this.#saved) return;
    const before = this.#saved;
    this.#saved = text;
    try {
      await this.#options.engine.settings.save(SETTING, text);
    } catch (error) {
      this.#saved = before;
      this.#failed(error);
    }
  }

  /** Without notes a takeover is as it was before there were any: nothing waits. */
  #failed(error: unknown): void {
    const { log } = this.#options;
    if (this.#isClosed) return;
    if (error instanceof SdError) log.warn("dispatcher", `notes are not kept: ${error.message}`);
    else log.bug("dispatcher", error);
  }
}

/** The notes in the value of the setting; none if it has another form. */
function readNotes(value: string | undefined): Notes {
  if (value === undefined) return NO_NOTES;
  try {
    const { pools, runs } = JSON.parse(value) as Partial<Notes>;
    const areTexts = (list: unknown): list is string[] =>
      Array.isArray(list) && list.every((one) => typeof one === "string");
    return areTexts(pools) && areTexts(runs) ? { pools, runs } : NO_NOTES;
  } catch (error) {
    if (error instanceof SyntaxError) return NO_NOTES;
    throw error;
  }
}
