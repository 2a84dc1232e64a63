/**
 * Tasks that clients put into a table of the store in their own transactions. The leader looks four times a second, takes the
 * lines in by their ids, and drops the rows once their tasks are committed. A line that is refused is set aside in the store,
 * with its reason.
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
/** Most rows of one look. */
const PAGE = 1000;

export class SqlIntake {
  readonly #options: SqlIntakeOptions;
  readonly #counts: IntakeCounts = { taken: 0, rejected: 0, replied: 0, dropped: 0 };
  readonly #tasks: TaskIntake;
  #isStopped = false;
  #isWaiting = false;
  #hasFault = false;
  #running: Promise<void> | undefined;
  #wake: (() => void) | undefined;

  constructor(options: SqlIntakeOptions) {
    this.#options = options;
    const { server } = options;
    this.#tasks = new TaskIntake({
      server,
      counts: this.#counts,
      // A page waits for the one before it, so nothing else has to pause.
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
    const { inbox, server: { log, route: { clock } } } = this.#options;
    while (!this.#isStopped) {
      let pauseMs = 0;
      try {
        const rows = await inbox.read(PAGE);
        if (rows.length > 0) await this.#take(rows);
        else pauseMs = LOOK_MS;
        this.#hasFault = false;
      } catch (error) {
        pauseMs = FAULT_MS;
        if (!this.#hasFault) {
          log.warn("intake", `sql: its table cannot be read: ${reasonOf(error)}`);
        }
        this.#hasFault = true;
      }
      if (pauseMs === 0 || this.#isStopped) continue;
      const { promise, resolve } = Promise.withResolvers<void>();
      const forget = clock.after(pauseMs, resolve);
      this.#wake = resolve;
      await promise;
      forget();
    }
  }

  /** Resolves when each row is dropped, or the intake stops. */
  async #take(rows: readonly InboxRow[]): Promise<void> {
    const taken: number[] = [];
    const refused: [row: InboxRow, reason: SdError][] = [];
    let open = rows.length;
    const settled = Promise.withResolvers<void>();
    const settle = () => {
      if (--open === 0) settled.resolve();
    };
    this.#wake = settled.resolve;
    for (const row of rows) {
      this.#tasks.push({
        id: row.id,
        body: row.line,
        route: undefined,
        isRepeated: false,
        taken: () => {
          taken.push(row.n);
          settle();
        },
        refused: (reason) => {
          refused.push([row, reason]);
          settle();
        },
      });
    }
    if (!this.#isStopped) await settled.promise;
    const { inbox, server: { log } } = this.#options;
    if (taken.length > 0) await inbox.done(taken);
    if (refused.length === 0) return;
    await inbox.refuse(refused.map(([{ n }, { code, message }]) => [n, `${code}: ${message}`]));
    const [row, reason] = refused.at(-1)!;
    const lines = refused.length === 1 ? "1 line" : `${refused.length} lines`;
    const last = JSON.stringify(row.id);
    log.warn("intake", `sql: refused ${lines}; the last has the id ${last}: ${reason.code}`);
  }
}
