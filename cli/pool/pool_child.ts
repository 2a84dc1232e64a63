/**
 * One worker process, as its parent sees it. The parent sends its orders to stdin and reads its news from stdout. It
 * kills a process that does not end in time, or that does not answer because it is stopped, or frozen with its
 * container. `PoolKeeper` and `SingleKeeper` start these processes.
 *
 * Other output of the process is passed on as lines, with limits for their length and their number in a second. All of
 * it is read, so that the process never waits. A line can contain any character; the code that shows it must escape it.
 */

import { AwakeClock } from "../../net/awake_clock.ts";
import { isLostConnection } from "../../net/lost_connection.ts";
import { cutText } from "../../protocol/errors.ts";
import { LineSplitter } from "../../protocol/ndjson.ts";
import type { ParentOrder, PoolNews, PoolStart, TaskFileRef } from "../../protocol/pool_start.ts";
import { environmentFor } from "./pool_flags.ts";
import {
  POOL_FLAGS_OF_DENO,
  selfCommand,
  selfEnvironment,
  type Startable,
} from "./self_command.ts";

/** Limit for a line of stdout: longer than any line of sd's own. Tasks can print longer ones. */
const MAX_CONTROL_BYTES = 1024 * 1024;

/** Longest time that the output of a process is read after its end, in ms. */
const LAST_WORDS_MS = 1000;

/** Time between two questions whether a process is alive, in ms. */
const ASK_MS = 1000;
/** Silence after which a process that has been connected counts as frozen, in ms. A server waits less. */
const FROZEN_MS = 15_000;
/** The same for a process that was never connected: it still loads task files and starts its workers. */
const FROZEN_AT_START_MS = 60_000;

/** Signals from outside: from a person, a supervisor, or a system without free memory. */
const KILLS: ReadonlySet<string> = new Set(["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"]);

const encoder = new TextEncoder();

interface PoolChildListener {
  hear(news: Exclude<PoolNews, { alive: true } | { said: string }>): void;
  /** The process has not answered for `ms`, and is killed. */
  frozen(ms: number): void;
  /** A line for the operator. `isRaw`: any code in the process can have written it. */
  said(line: string, isRaw: boolean): void;
}

interface PoolChildOptions {
  /** The executable; released once the process has started. */
  readonly program: Startable;
  /** Silence after which the process counts as frozen once it has been connected. */
  readonly frozenMs?: number | undefined;
}

/** The start of a worker process; the child adds the nonce. */
export type ChildStart = Omit<PoolStart, "nonce">;

export class PoolChild {
  /** Resolves when the process has ended, its output is read and nothing is left open. */
  readonly ended: Promise<Deno.CommandStatus>;
  readonly #nonce = crypto.randomUUID();
  readonly #process: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly #listener: PoolChildListener;
  readonly #asking: ReturnType<typeof setInterval>;
  readonly #program: Startable;
  /** Output of the process, written by any code in it. */
  readonly #raw = new LineBudget((line) => this.#listener.said(line, true));
  /** Time in which the parent itself was stopped is no silence of the process. */
  readonly #awake = new AwakeClock({ stepMs: 2 * ASK_MS });
  /** Time for which a question is unanswered, in ms; `undefined` if none is. */
  #unanswered: number | undefined;
  readonly #frozenMs: number;
  #wasReady = false;
  #gone = false;
  #stopSent = false;

  /** Starts the process. Throws, and does not release the program, if it cannot be started. */
  constructor(start: ChildStart, listener: PoolChildListener, options: PoolChildOptions) {
    const { program, frozenMs = FROZEN_MS } = options;
    const { path, args } = selfCommand(["work", "--pool"], POOL_FLAGS_OF_DENO, program.path);
    this.#program = program;
    this.#process = new Deno.Command(path, {
      args,
      clearEnv: true,
      // Its output goes into a log.
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

  /** Asks the process to finish its running tasks; kills it after `graceMs`. Resolves when it has ended. */
  async stop(graceMs: number): Promise<void> {
    if (!this.#stopSent) {
      this.#stopSent = true;
      this.#say({ stop: true, grace_ms: graceMs });
    }
    await this.killAfter(graceMs);
  }

  /** Kills the process unless it ends within `ms`. Resolves when it has ended. */
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
      // The process ended in this turn of the event loop.
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
    this.#program.release();
    // A program that a task has started can hold both open for as long as it runs.
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

  /** Only a line with the nonce comes from the process itself: tasks can print anything. */
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
    // By now the process has read all that it needs of the executable.
    this.#program.release();
    this.#listener.hear(news);
  }
}

/** A process that has ended reads no more: its stream is closed or broken. `ended` reports the end. */
function throwUnlessEnded(error: unknown): void {
  if (!(error instanceof TypeError) && !isLostConnection(error)) throw error;
}

/** The news in a line; `undefined` if other code of the process has written into the line. */
function parseNews(line: string): PoolNews | undefined {
  try {
    return JSON.parse(line) as PoolNews;
  } catch {
    // The news is lost; the next one begins on a line of its own.
    return undefined;
  }
}

/** The signal by which a process crashed; `undefined` if it was killed, or ended without a signal. */
export function crashOf(signal: string | null): string | undefined {
  return signal === null || KILLS.has(signal) ? undefined : signal;
}

/** The message for a process that crashed while it loaded `files`. */
export function crashMessage(files: readonly TaskFileRef[], crash: string): string {
  const [first, ...more] = files.map(({ name }) => name);
  const names = more.length === 0 ? first : `${first} or another task file`;
  return `${names}: as it is loaded, its process ends by ${crash}`;
}

// The output of a process, as lines.

/** Most characters of a line; a longer one is cut and gets a `…`. */
const MAX_LINE_CHARS = 1000;
/** Characters kept of a line until it ends: enough to see that it must be cut. */
const MAX_KEPT_CHARS = MAX_LINE_CHARS + 2;
/** Most lines at once, */
const BURST = 50;
/** and lines for each ms after that. */
const PER_MS = 10 / 1000;

/** The chunks of a stream, up to its end or until its reader is cancelled. */
async function* chunksOf(
  reader: ReadableStreamDefaultReader<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  for (let { value } = await reader.read(); value; { value } = await reader.read()) yield value;
}

/** Passes all lines to `budget`. Resolves at the end of the stream. */
export async function readOutput(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  budget: LineBudget,
): Promise<void> {
  const decoder = new TextDecoder();
  let partial = "";
  for await (const chunk of chunksOf(reader)) {
    const lines = decoder.decode(chunk, { stream: true }).split("\n");
    // The part of a line that is not shown is not kept either.
    if (partial.length < MAX_KEPT_CHARS) partial += lines[0]!.slice(0, MAX_KEPT_CHARS);
    for (let i = 1; i < lines.length; i++) {
      budget.take(partial);
      partial = lines[i]!.slice(0, MAX_KEPT_CHARS);
    }
  }
  budget.take(partial);
  budget.close();
}

/** Passes on lines within the limits, and the number of lines that it left out. */
export class LineBudget {
  readonly #pass: (line: string) => void;
  #lines = BURST;
  #at = performance.now();
  #leftOut = 0;

  constructor(pass: (line: string) => void) {
    this.#pass = pass;
  }

  take(raw: string): void {
    const line = raw.trimEnd();
    if (line === "") return;
    const now = performance.now();
    this.#lines = Math.min(BURST, this.#lines + (now - this.#at) * PER_MS);
    this.#at = now;
    if (this.#lines < 1) {
      this.#leftOut++;
      return;
    }
    this.#lines--;
    this.close();
    this.#pass(cutText(line, MAX_LINE_CHARS + 1));
  }

  /** Passes on the number of lines left out so far. */
  close(): void {
    const count = this.#leftOut;
    this.#leftOut = 0;
    if (count > 0) {
      this.#pass(`(${count} more ${count === 1 ? "line was" : "lines were"} left out)`);
    }
  }
}
