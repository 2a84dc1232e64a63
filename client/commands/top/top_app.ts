/**
 * The loop of `sd top`: takes snapshots of the server, handles keys, draws after each change.
 *
 *     list ──/──▶ filter ──Enter, Esc──▶ list        list, task ──c──▶ confirm ──y, n──▶ list
 *     list ──Enter──▶ task ──Esc──▶ list             list ──?──▶ help ──any key──▶ list
 */

import { ClientError } from "../../../net/client_error.ts";
import { EXIT, type ExitCode } from "../../../cli/exit.ts";
import { SdError } from "../../../protocol/errors.ts";
import type { TaskView } from "../../../protocol/task.ts";
import type { Client } from "../../client.ts";
import type { Key, ScreenLine, Size, TerminalUser } from "./terminal.ts";
import { type Mode, pageRows, screenLines } from "./screen.ts";
import { readChoice, type Snapshot, takeSnapshot, type TaskChoice } from "./snapshot.ts";
import { taskText } from "./text.ts";

/** Least pause between two snapshots, in durations of the last one: a slow server is asked less often. */
const PAUSE_FACTOR = 5;
const LIST: Mode = { name: "list" };

interface Screen {
  readonly size: Size;
  draw(lines: readonly ScreenLine[]): void;
}

export class TopApp implements TerminalUser {
  readonly #intervalMs: number;
  readonly #ended = Promise.withResolvers<ExitCode>();
  #client: Client | undefined;
  #screen: Screen | undefined;
  #snapshot: Snapshot | undefined;
  #mode: Mode = LIST;
  #filter = "";
  #choice: TaskChoice | undefined;
  #selected = 0;
  #notice = "";
  #lost: string | undefined;
  #isOver = false;
  #wake: () => void = () => {};

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  /** Runs until the end and returns the exit code. Throws an error that it cannot survive. */
  async run(client: Client, screen: Screen): Promise<ExitCode> {
    this.#client = client;
    this.#screen = screen;
    this.#draw();
    try {
      return await Promise.race([this.#ended.promise, this.#watch(client)]);
    } finally {
      this.#isOver = true;
      this.#wake();
    }
  }

  /** Reports a lost connection with its reason, or a new connection. */
  connection(lost: Error | undefined): void {
    this.#lost = lost?.message;
    this.#draw();
    if (!lost) this.#wake();
  }

  resized(): void {
    this.#draw();
  }

  ended(by: "signal" | "hangup"): void {
    this.#ended.resolve(by === "signal" ? EXIT.interrupted : EXIT.ok);
  }

  key(key: Key): void {
    if (key === "interrupt") return this.#ended.resolve(EXIT.interrupted);
    this.#notice = "";
    const mode = this.#mode;
    switch (mode.name) {
      case "list":
        this.#listKey(key);
        break;
      case "filter":
        this.#filterKey(key, mode.text);
        break;
      case "confirm":
        this.#mode = LIST;
        if (typeof key === "object" && /y/i.test(key.char)) this.#act("cancel", mode.task.task_id);
        break;
      case "task":
        this.#taskKey(key, mode);
        break;
      case "help":
        this.#mode = LIST;
    }
    this.#draw();
  }

  async #watch(client: Client): Promise<never> {
    for (;;) {
      const begun = performance.now();
      const choice = this.#choice;
      const snapshot = await this.#look(client, choice);
      if (!snapshot) {
        await this.#pause(this.#intervalMs);
        continue;
      }
      // A snapshot of an older filter is dropped.
      if (choice === this.#choice) this.#take(snapshot);
      const tookMs = performance.now() - begun;
      await this.#pause(Math.max(this.#intervalMs, PAUSE_FACTOR * tookMs));
    }
  }

  /** A snapshot; `undefined` if the server did not reply, which can be temporary. */
  async #look(client: Client, choice: TaskChoice | undefined): Promise<Snapshot | undefined> {
    try {
      const snapshot = await takeSnapshot(client, { choice, before: this.#snapshot });
      this.#lost = undefined;
      return snapshot;
    } catch (error) {
      if (!(error instanceof ClientError) || error.code !== "unreachable") throw error;
      this.connection(error);
      return undefined;
    }
  }

  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      if (this.#isOver) this.#wake();
    });
    // `run` has ended: the loop must not go on.
    if (this.#isOver) await new Promise<never>(() => {});
  }

  #take(snapshot: Snapshot): void {
    const task = this.#task;
    this.#snapshot = snapshot;
    // The selection stays on its task, wherever that is in the list now.
    const at = this.#rows.findIndex(({ task_id }) => task_id === task?.task_id);
    this.#select(at >= 0 ? at : this.#selected);
    this.#draw();
  }

  get #rows(): TaskView[] {
    const { tasks = [], failures = [] } = this.#snapshot ?? {};
    return [...tasks, ...failures];
  }

  get #task(): TaskView | undefined {
    return this.#rows[this.#selected];
  }

  #select(at: number): void {
    this.#selected = Math.max(0, Math.min(at, this.#rows.length - 1));
  }

  #draw(): void {
    if (!this.#screen || !this.#client) return;
    const { size } = this.#screen;
    this.#screen.draw(screenLines({
      server: this.#client.target,
      snapshot: this.#snapshot,
      mode: this.#mode,
      filter: this.#filter,
      selected: this.#selected,
      notice: this.#notice,
      lost: this.#lost,
    }, size));
  }

  #listKey(key: Key): void {
    const rows = this.#screen ? pageRows(this.#screen.size) : 1;
    const step = stepOf(key, rows);
    if (step !== undefined) return this.#select(this.#selected + step);
    const char = typeof key === "object" ? key.char : key;
    const task = this.#task;
    switch (char) {
      case "q":
        return this.#ended.resolve(EXIT.ok);
      case "?":
        this.#mode = { name: "help" };
        return;
      case "/":
        this.#mode = { name: "filter", text: this.#filter };
        return;
      case "escape":
        return this.#choose("", undefined);
    }
    if (char !== "enter" && char !== "c" && char !== "r") return;
    if (!task) this.#notice = "no task is selected";
    else if (char === "c") this.#mode = { name: "confirm", task };
    else if (char === "r") this.#act("retry", task.task_id);
    else this.#show(task.task_id);
  }

  #filterKey(key: Key, text: string): void {
    if (key === "escape") this.#mode = LIST;
    else if (key === "backspace") this.#mode = { name: "filter", text: text.slice(0, -1) };
    else if (typeof key === "object") this.#mode = { name: "filter", text: text + key.char };
    else if (key === "enter") {
      this.#mode = LIST;
      const wanted = text.trim();
      this.#do(async (client) => this.#choose(wanted, await readChoice(client, wanted)));
    }
  }

  #taskKey(key: Key, mode: Mode & { name: "task" }): void {
    const step = stepOf(key, this.#screen ? pageRows(this.#screen.size) : 1);
    if (step !== undefined) {
      const from = Math.max(0, Math.min(mode.from + step, mode.lines.length - 1));
      this.#mode = { ...mode, from };
      return;
    }
    const char = typeof key === "object" ? key.char : key;
    if (char === "q") this.#ended.resolve(EXIT.ok);
    else if (char === "escape" || char === "enter") this.#mode = LIST;
    else if (char === "r") this.#act("retry", mode.id);
    else if (char === "c") this.#mode = { name: "confirm", task: mode.task };
  }

  #choose(filter: string, choice: TaskChoice | undefined): void {
    this.#filter = filter;
    this.#choice = choice;
    this.#selected = 0;
    this.#wake();
  }

  #show(id: string): void {
    this.#do(async (client) => {
      const [task, why] = await Promise.all([client.get(id), client.why(id)]);
      this.#mode = { name: "task", id, task, lines: taskText(task, why), from: 0 };
    });
  }

  #act(what: "cancel" | "retry", id: string): void {
    this.#notice = `${what} ${id} …`;
    this.#do(async (client) => {
      const { status } = await client[what](id);
      this.#notice = `${id} is ${status}`;
    });
  }

  /** Runs a request; a refusal becomes the notice. */
  #do(work: (client: Client) => Promise<void>): void {
    if (!this.#client) return;
    work(this.#client).catch((error: unknown) => {
      if (error instanceof SdError || error instanceof ClientError) this.#notice = error.message;
      else this.#ended.reject(error);
    }).finally(() => {
      this.#draw();
      this.#wake();
    });
  }
}

/** Rows that a key moves; `undefined` if it moves nothing. */
function stepOf(key: Key, page: number): number | undefined {
  switch (typeof key === "object" ? key.char : key) {
    case "up":
    case "k":
      return -1;
    case "down":
    case "j":
      return 1;
    case "page_up":
      return -page;
    case "page_down":
      return page;
    case "home":
      return -Infinity;
    case "end":
      return Infinity;
  }
}
