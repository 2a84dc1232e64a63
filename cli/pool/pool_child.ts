/**
 * One worker process as its parent sees it: started with its orders on stdin, told to stop there,
 * listened to on stdout, killed when it does not end when it should, or does not answer (a process that is
 * stopped, or frozen with its container).
 */

import { LineSplitter } from "../../protocol/ndjson.ts";
import type { ParentOrder, PoolNews, PoolStart, TaskFileRef } from "../../protocol/pool_start.ts";
import { AwakeClock } from "../../net/awake_clock.ts";
import { isLostConnection } from "../../net/lost_connection.ts";
import { environmentFor } from "./sandbox_flags.ts";
import { chunksOf, LineBudget, readOutput } from "./process_output.ts";
import { POOL_FLAGS_OF_DENO, selfCommand, selfEnvironment } from "./self_command.ts";

/** Longer than any line of ours; what tasks print may be longer, and is no concern of ours. */
const MAX_CONTROL_BYTES = 1024 * 1024;

/** What a process has written reaches its parent so long after its end at most, in ms. */
const LAST_WORDS_MS = 1000;

/** How often a process is asked whether it is alive, in ms. */
const ASK_MS = 1000;
/** A process that has been connected and does not answer for as long is frozen, in ms. A server waits less long. */
const FROZEN_MS = 15_000;
/** The same of a process that was never connected: it loads task files, and starts all its workers. */
const FROZEN_AT_START_MS = 60_000;

/** From outside: by a person, a supervisor, or the system for want of memory. */
const KILLS: ReadonlySet<string> = new Set(["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"]);

const encoder = new TextEncoder();

export interface PoolChildListener {
  hear(news: Exclude<PoolNews, { alive: true } | { said: string }>): void;
  /** It has not answered for `ms`, and is killed. */
  frozen(ms: number): void;
  /** It says something for the operator; `isRaw`: whatever in it has written that to its stderr. */
  said(line: string, isRaw: boolean): void;
}

export interface PoolChildOptions {
  readonly path: string;
  /** How long it may leave an ask unanswered once it has been connected. */
  readonly frozenMs?: number | undefined;
}

export class PoolChild {
  /** Resolves when the process has ended, everything it said is read and nothing is left open. */
  readonly ended: Promise<Deno.CommandStatus>;
  readonly #nonce = crypto.randomUUID();
  readonly #process: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly #listener: PoolChildListener;
  readonly #asking: ReturnType<typeof setInterval>;
  /** What is written to its streams, by whatever runs in it. */
  readonly #raw = new LineBudget((line) => this.#listener.said(line, true));
  /** A stop of the parent's own is no silence of the process. */
  readonly #awake = new AwakeClock({ stepMs: 2 * ASK_MS });
  /** For how long it has not answered, in ms; `undefined` while it has. */
  #unanswered: number | undefined;
  readonly #frozenMs: number;
  #wasReady = false;
  #gone = false;
  #stopSent = false;

  /** Starts the process, from the executable at `path`. */
  constructor(
    start: Omit<PoolStart, "nonce">,
    listener: PoolChildListener,
    options: PoolChildOptions,
  ) {
    const { frozenMs = FROZEN_MS } = options;
    const { path, args } = selfCommand(["work", "--pool"], POOL_FLAGS_OF_DENO, options.path);
    this.#process = new Deno.Command(path, {
      args,
      clearEnv: true,
      // What it writes goes into a log.
      env: { ...environmentFor(start.permissions), ...selfEnvironment(), NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#listener = listener;
    this.#frozenMs = frozenMs;
    this.#stdin = this.#process.stdin.getWriter();
    this.#say({ ...start, nonce: this.#nonce });
    this.#asking = setInterval(() => this.#ask(), ASK_MS);
    this.ended = this.#end();
  }

  /** Whether it has been connected to the server. */
  get wasReady(): boolean {
    return this.#wasReady;
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Asks it to finish what it runs; kills it after `graceMs`. Resolves when it has ended. */
  async stop(graceMs: number): Promise<void> {
    if (!this.#stopSent) {
      this.#stopSent = true;
      this.#say({ stop: true, grace_ms: graceMs });
    }
    await this.killAfter(graceMs);
  }

  /** Kills it unless it ends within `ms`. Resolves when it has ended. */
  async killAfter(ms: number): Promise<void> {
    if (!this.#gone) this.#timers.add(setTimeout(() => this.#kill(), ms));
    await this.ended;
  }

  #ask(): void {
    const passed = this.#awake.passed();
    if (this.#unanswered === undefined) {
      this.#unanswered = 0;
      return this.#say({ ask: true });
    }
    this.#unanswered += passed;
    if (this.#unanswered < (this.#wasReady ? this.#frozenMs : FROZEN_AT_START_MS)) return;
    clearInterval(this.#asking);
    this.#listener.frozen(this.#unanswered);
    this.#kill();
  }

  #say(message: PoolStart | ParentOrder): void {
    this.#stdin.write(encoder.encode(JSON.stringify(message) + "\n")).catch(throwUnlessEnded);
  }

  #kill(): void {
    if (this.#gone) return;
    try {
      this.#process.kill("SIGKILL");
    } catch (error) {
      // It has ended between two turns of the event loop.
      if (!(error instanceof TypeError) && !(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  async #end(): Promise<Deno.CommandStatus> {
    const [news, talk] = [this.#process.stdout.getReader(), this.#process.stderr.getReader()];
    const heard = Promise.all([
      this.#listen(news),
      readOutput(talk, this.#raw),
    ]);
    const status = await this.#process.status;
    // A program that a task has started may hold both open for as long as it runs.
    const enough = setTimeout(() => {
      for (const reader of [news, talk]) void reader.cancel();
    }, LAST_WORDS_MS);
    await heard;
    clearTimeout(enough);
    this.#gone = true;
    for (const timer of this.#timers) clearTimeout(timer);
    clearInterval(this.#asking);
    await this.#stdin.close().catch(throwUnlessEnded);
    return status;
  }

  /** Tasks may print what they like: only a line with the nonce is the process' own. */
  async #listen(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    let splitter = new LineSplitter(MAX_CONTROL_BYTES);
    for await (const chunk of chunksOf(reader)) {
      for (const line of splitter.push(chunk)) {
        if (line === null || line === "") continue;
        if (line.includes(this.#nonce)) this.#take(line);
        else this.#raw.take(line);
      }
      if (splitter.overflowed) splitter = new LineSplitter(MAX_CONTROL_BYTES);
    }
  }

  #take(line: string): void {
    const news = parseNews(line);
    if (news?.nonce !== this.#nonce) return;
    this.#unanswered = undefined;
    if ("alive" in news) return;
    if ("said" in news) return this.#listener.said(news.said, false);
    if ("ready" in news) this.#wasReady = true;
    this.#listener.hear(news);
  }
}

/** A process that has ended does not listen, which `ended` tells; the stream is then closed, or broken. */
function throwUnlessEnded(error: unknown): void {
  if (!(error instanceof TypeError) && !isLostConnection(error)) throw error;
}

/** The news in a line of the process; `undefined`: other code of the process has written into it. */
function parseNews(line: string): PoolNews | undefined {
  try {
    return JSON.parse(line) as PoolNews;
  } catch {
    // Then it is lost: the next one begins with a line of its own.
    return undefined;
  }
}

/** How a process of its own doing ended, and not because it was killed; `undefined`: otherwise. */
export function crashOf(signal: string | null): string | undefined {
  return signal === null || KILLS.has(signal) ? undefined : signal;
}

/** What to tell of a process that crashed while it loaded `files`. */
export function tellCrash(files: readonly TaskFileRef[], crash: string): string {
  const [first, ...more] = files.map(({ name }) => name);
  const names = more.length === 0 ? first : `${first} or another task file`;
  return `${names}: as it is loaded, its process ends by ${crash}`;
}
