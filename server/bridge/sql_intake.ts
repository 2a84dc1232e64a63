/**
 * Tasks that clients put into a table of the store in their own transactions. The leader looks four times a second, takes the
 * lines in by their ids, and drops the rows once their tasks are committed. A line that is refused is set aside in the store,
 * with its reason. A line that waits, as for the workers of its op, holds up no other.
 */

import type { SdError } from "../../protocol/errors.ts";
import type { IntakeView } from "../../protocol/task.ts";
import type { InboxRow, Lead } from "../engine/journaled/shared_store.ts";
import { type IntakeCounts, reasonOf } from "./message.ts";
import { type IntakeServer, TaskIntake } from "./task_intake.ts";

/** The table, as the lead gives access to it. */
export type Inbox = NonNullable<Lead["inbox"]>;

interface SqlIntakeOptions {
  readonly inbox: Inbox;
  readonly server: IntakeServer;
}

/** Time between two looks at an empty table, in ms. */
const LOOK_MS = 250;
/** Time until the next look after a failed one, in ms. */
const FAULT_MS = 1000;
/** Most new rows of one look. */
const PAGE = 1000;
/** Rows under way with which no more are read. */
const MOST_OPEN = 10 * PAGE;

export class SqlIntake {
  readonly #options: SqlIntakeOptions;
  readonly #counts: IntakeCounts = { taken: 0, rejected: 0, replied: 0, dropped: 0 };
  readonly #tasks: TaskIntake;
  #isStopped = false;
  #isWaiting = false;
  #hasFault = false;
  /** Rows that are under way, by their numbers: they are still in the table. */
  readonly #open = new Set<number>();
  #taken: InboxRow[] = [];
  #refused: [row: InboxRow, reason: SdError][] = [];
  #running: Promise<void> | undefined;
  #wake: (() => void) | undefined;

  constructor(options: SqlIntakeOptions) {
    this.#options = options;
    const { server } = options;
    this.#tasks = new TaskIntake({
      server,
      counts: this.#counts,
      // It reads no rows while some have no room.
      flow: { pause: () => {}, resume: () => {} },
      onWaiting: (reason) => {
        this.#isWaiting = reason !== undefined;
      },
      reply: () => Promise.resolve(),
      patientUntil: server.route.clock.awake() + 30_000,
    });
  }

  get view(): IntakeView {
    const state = this.#isStopped ? "stopped" : this.#isWaiting ? "waiting" : "taking";
    return { url: "sql:", state, ...this.#counts };
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stopTaking(): Promise<void> {
    this.#isStopped = true;
    // The rows of the batch under way are dropped before the end, too: their tasks are committed.
    await this.#tasks.stop();
    this.#wake?.();
    await this.#running;
    await this.#drop().catch(() => {/* They are found again by their ids. */});
  }

  async close(): Promise<void> {
    await this.stopTaking();
    this.#tasks.close();
  }

  /** Ends without a wait: this server leads no more. */
  drop(): Promise<void> {
    this.#isStopped = true;
    this.#wake?.();
    this.#tasks.close();
    return Promise.resolve();
  }

  async #run(): Promise<void> {
    const { server: { log, route: { clock } } } = this.#options;
    while (!this.#isStopped) {
      let pauseMs = LOOK_MS;
      const settled = Promise.withResolvers<void>();
      this.#wake = settled.resolve;
      try {
        await this.#drop();
        await this.#read();
        this.#hasFault = false;
      } catch (error) {
        pauseMs = FAULT_MS;
        if (!this.#hasFault) {
          log.warn("intake", `sql: its table cannot be read: ${reasonOf(error)}`);
        }
        this.#hasFault = true;
      }
      if (this.#isStopped) return;
      const forget = clock.after(pauseMs, settled.resolve);
      await settled.promise;
      forget();
    }
  }

  /** Takes in the rows that are not under way yet. */
  async #read(): Promise<void> {
    if (this.#isWaiting || this.#open.size >= MOST_OPEN) return;
    const rows = await this.#options.inbox.read(PAGE + this.#open.size);
    if (this.#isStopped) return;
    const fresh = rows.filter(({ n }) => !this.#open.has(n));
    let left = fresh.length;
    // Rows that settle soon are dropped together; the others do not hold them up.
    const settle = () => {
      if (--left === 0) this.#wake?.();
    };
    for (const row of fresh) {
      this.#open.add(row.n);
      this.#tasks.push({
        id: row.id,
        body: row.line,
        route: undefined,
        isRepeated: false,
        taken: () => {
          this.#taken.push(row);
          settle();
        },
        refused: (reason) => {
          this.#refused.push([row, reason]);
          settle();
        },
      });
    }
  }

  /** Drops the rows that are settled. If the store fails they stay, and it is tried again. */
  async #drop(): Promise<void> {
    const { inbox, server: { log } } = this.#options;
    const taken = [...this.#taken];
    if (taken.length > 0) await inbox.done(taken.map(({ n }) => n));
    this.#taken.splice(0, taken.length);
    for (const { n } of taken) this.#open.delete(n);
    const refused = [...this.#refused];
    if (refused.length === 0) return;
    await inbox.refuse(refused.map(([{ n }, { code, message }]) => [n, `${code}: ${message}`]));
    this.#refused.splice(0, refused.length);
    for (const [{ n }] of refused) this.#open.delete(n);
    const [row, reason] = refused.at(-1)!;
    const lines = refused.length === 1 ? "1 line" : `${refused.length} lines`;
    const last = JSON.stringify(row.id);
    log.warn("intake", `sql: refused ${lines}; the last has the id ${last}: ${reason.code}`);
  }
}
