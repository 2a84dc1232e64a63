/**
 * A load on a cluster with an account of every task by its id: each is acknowledged, ends once, with its own result, and is
 * still there at the end, whatever happens to the servers meanwhile. Clients follow the rules of `docs/protocol.md` after a
 * lost connection, and go from server to server.
 */

import { delay } from "@std/async/delay";
import { RawClient } from "../kit/raw_client.ts";

export interface Address {
  readonly hostname: string;
  readonly port: number;
}

export interface LoadOptions {
  readonly clients: number;
  /** Most open tasks of a client. */
  readonly inFlight: number;
  /** The servers that can be reached; the load takes them in turn. */
  readonly addresses: () => readonly Address[];
  /** The op, which must return the square of `n`, and its further arguments; default: `square`. */
  readonly op?: string;
  readonly args?: Record<string, unknown>;
}

/** What went wrong, and how long nothing ended. */
export interface LoadReport {
  tasks: number;
  lost: number;
  /** Tasks with two ends that differ. */
  twice: number;
  /** Ends with a wrong result, or a result of another task. */
  wrong: number;
  /** Ends without a result, and refusals that no rule explains. */
  failed: number;
  /** Longest time without the end of any task, in ms. */
  gapMs: number;
  notes: string[];
}

interface Entry {
  readonly id: string;
  readonly n: number;
  isAcked: boolean;
  end: string | undefined;
}

/** A connection that is owed something and silent for so long is given up, in ms, as a client with pings does. */
const SILENT_MS = 3000;
const PAUSE_MS = 20;
/** Refusals after which the same line is sent again, by the rules of the protocol. */
const AGAIN = new Set(["shutting_down", "queue_full"]);

export class ClusterLoad {
  readonly #options: LoadOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>[];
  readonly report: LoadReport = {
    tasks: 0,
    lost: 0,
    twice: 0,
    wrong: 0,
    failed: 0,
    gapMs: 0,
    notes: [],
  };
  #lastEndAt = performance.now();
  #serial = 0;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#running = Array.from({ length: options.clients }, (_, i) => this.#client(i));
  }

  /** Number of tasks that have ended. */
  get ended(): number {
    return this.report.tasks;
  }

  /** Begins a new measurement of the longest gap. */
  resetGap(): void {
    this.#lastEndAt = performance.now();
    this.report.gapMs = 0;
  }

  /** Submits no more, waits for every end, and looks all tasks up once more. */
  async finish(): Promise<LoadReport> {
    this.#stop.abort();
    await Promise.all(this.#running);
    await this.#lookUp();
    return this.report;
  }

  async #client(serial: number): Promise<void> {
    const open = new Map<string, Entry>();
    for (let turn = serial; !this.#stop.signal.aborted || open.size > 0; turn++) {
      const addresses = this.#options.addresses();
      const address = addresses[turn % addresses.length];
      if (address) await this.#connection(address, open);
      await delay(PAUSE_MS);
    }
  }

  /** One connection, to its end. */
  async #connection(address: Address, open: Map<string, Entry>): Promise<void> {
    let client: RawClient;
    try {
      client = await RawClient.connect(address);
    } catch {
      return;
    }
    let silent = setTimeout(() => client[Symbol.dispose](), SILENT_MS);
    try {
      await client.send([...open.values()].map((entry) => this.#again(entry)).join(""));
      for (;;) {
        await client.send(this.#more(open));
        if (open.size === 0) return;
        const line = await client.line();
        if (line === null) return;
        clearTimeout(silent);
        silent = setTimeout(() => client[Symbol.dispose](), SILENT_MS);
        const again = this.#hear(line, open);
        if (again) {
          await delay(PAUSE_MS);
          await client.send(again);
        }
      }
    } catch {
      // The connection is lost: the next one takes up what is open.
    } finally {
      clearTimeout(silent);
      client[Symbol.dispose]();
    }
  }

  #more(open: Map<string, Entry>): string {
    let text = "";
    while (open.size < this.#options.inFlight && !this.#stop.signal.aborted) {
      const entry = { id: crypto.randomUUID(), n: ++this.#serial, isAcked: false, end: undefined };
      open.set(entry.id, entry);
      this.#entries.set(entry.id, entry);
      text += this.#again(entry);
    }
    return text;
  }

  #again({ id, n, isAcked }: Entry): string {
    const { op = "square", args } = this.#options;
    const message = isAcked
      ? { cmd: "wait", task_id: id, ref: id }
      : { op, n, ...args, task: { id, wait: true }, ref: id };
    return JSON.stringify(message) + "\n";
  }

  /** Takes a reply; the line to send again, if the rules say so. */
  #hear(line: string, open: Map<string, Entry>): string | undefined {
    const reply = JSON.parse(line);
    const entry = this.#entries.get(reply.ref);
    if (!entry) {
      // The farewell of a server that stops has no `ref`.
      if (reply.error?.code !== "shutting_down") this.#note("wrong", `unasked: ${line}`);
      return undefined;
    }
    if (reply.error && reply.status === undefined) {
      const { code } = reply.error;
      if (AGAIN.has(code)) return this.#again(entry);
      this.#note(entry.isAcked && code === "not_found" ? "lost" : "failed", line);
      open.delete(entry.id);
      return undefined;
    }
    entry.isAcked = true;
    if (reply.ack || !["completed", "failed", "cancelled", "expired"].includes(reply.status)) {
      return undefined;
    }
    open.delete(entry.id);
    this.#end(entry, reply, line);
    return undefined;
  }

  // deno-lint-ignore no-explicit-any
  #end(entry: Entry, reply: any, line: string): void {
    const now = performance.now();
    this.report.gapMs = Math.max(this.report.gapMs, now - this.#lastEndAt);
    this.#lastEndAt = now;
    const end = `${reply.status} ${JSON.stringify(reply.result)}`;
    if (reply.status !== "completed") this.#note("failed", line);
    else if (reply.task_id !== entry.id || reply.result !== entry.n ** 2) this.#note("wrong", line);
    if (entry.end !== undefined && entry.end !== end) this.#note("twice", `${entry.end}, ${line}`);
    if (entry.end === undefined) this.report.tasks++;
    entry.end = end;
  }

  /** Asks for every task by its id: its record must be what its client heard. */
  async #lookUp(): Promise<void> {
    const [address] = this.#options.addresses();
    using client = await RawClient.connect(address!);
    const ids = [...this.#entries.keys()];
    for (let at = 0; at < ids.length; at += 500) {
      const asked = ids.slice(at, at + 500);
      await client.sendObjects(
        ...asked.map((id) => ({ cmd: "get", task_id: id, ref: id })),
      );
      for (const _ of asked) {
        const reply = await client.object();
        const entry = this.#entries.get(reply.ref)!;
        const end = `${reply.status} ${JSON.stringify(reply.result)}`;
        if (reply.error?.code === "not_found") this.#note("lost", `${entry.id} is not there`);
        else if (end !== entry.end) this.#note("twice", `${entry.end}, then ${end}`);
      }
    }
  }

  #note(kind: "lost" | "twice" | "wrong" | "failed", text: string): void {
    this.report[kind]++;
    if (this.report.notes.length < 20) this.report.notes.push(`${kind}: ${text.slice(0, 300)}`);
  }
}
