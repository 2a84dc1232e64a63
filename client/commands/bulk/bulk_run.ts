/** Sends one change for many tasks, several batches in flight, and reports the outcome. */

import { EXIT, type ExitCode } from "../../../cli/exit.ts";
import { type ErrorReport, printData, reportError } from "../../../cli/report.ts";
import { escapeControls, say } from "../../../cli/talk.ts";
import type { ErrorBody } from "../../../protocol/errors.ts";
import { COMMANDS } from "../../../protocol/operations.ts";
import type { Client } from "../../client.ts";
import { worstOf } from "./each_task.ts";
import { talk } from "../base/output.ts";
import { Semaphore } from "./semaphore.ts";
import { withCommas } from "../base/table.ts";
import { rawOf } from "../../server_client.ts";

/** Batches in flight, so that the server never waits for the next one. */
const MAX_BATCHES = 4;
/** Most refusals that are printed; only the number of others is. */
const MAX_PRINTED = 5;
/** Most ids in a batch. */
const MAX_IDS = COMMANDS.cancel.takes.task_ids.max;

export interface BulkVerb {
  /** The command, on the wire and on the command line, and its participle for messages. */
  readonly name: "retry" | "cancel";
  readonly done: "retried" | "cancelled";
}

type Answer = { task_id: string; status?: string; error?: ErrorBody };

export class BulkRun {
  readonly #client: Client;
  readonly #verb: BulkVerb;
  readonly #slots = new Semaphore(MAX_BATCHES);
  readonly #refusedBy: Record<string, number> = {};
  readonly #refused: (ErrorReport & { task_id: string })[] = [];
  #matched = 0;
  #done = 0;
  #broken: unknown;

  constructor(client: Client, verb: BulkVerb) {
    this.#client = client;
    this.#verb = verb;
  }

  /** Sends all ids of `pages`, as many at a time as a command takes, and returns the exit code. */
  async all(
    pages: AsyncIterable<string[]> | Iterable<string[]>,
    { json }: { json: boolean },
  ): Promise<ExitCode> {
    try {
      for await (const ids of pages) {
        for (let at = 0; at < ids.length; at += MAX_IDS) {
          await this.#slots.take();
          if (this.#broken === undefined) this.#start(ids.slice(at, at + MAX_IDS));
          else this.#slots.release();
        }
        if (this.#broken !== undefined) break;
      }
      await this.#slots.idle();
      if (this.#broken !== undefined) throw this.#broken;
    } catch (error) {
      // Report the changes that were made, whatever ended the rest.
      if (!json && this.#matched > 0) talk(this.#summary());
      throw error;
    }
    return this.#report(json);
  }

  #start(ids: string[]): void {
    this.#matched += ids.length;
    const ended = this.#batch(ids).catch((error: unknown) => {
      this.#broken ??= error;
    });
    void ended.then(() => this.#slots.release());
  }

  async #batch(task_ids: string[]): Promise<void> {
    const message = { cmd: this.#verb.name, task_ids };
    // A running task can take any time to stop.
    const { tasks } = await rawOf(this.#client).ask<{ tasks: Answer[] }>(message, {
      ms: Infinity,
    });
    for (const { task_id, error } of tasks) {
      if (!error) {
        this.#done++;
        continue;
      }
      this.#refusedBy[error.code] = (this.#refusedBy[error.code] ?? 0) + 1;
      // One of each code is kept, since the worst sets the exit code.
      const isNew = !this.#refused.some(({ code }) => code === error.code);
      if (isNew || this.#refused.length < MAX_PRINTED) this.#refused.push({ ...error, task_id });
    }
  }

  #summary(): string {
    const { done } = this.#verb;
    const refused = Object.values(this.#refusedBy).reduce((sum, count) => sum + count, 0);
    const parts = [`${withCommas(this.#done)} ${this.#done === 1 ? "task" : "tasks"} ${done}`];
    if (refused > 0) parts.push(`${withCommas(refused)} refused`);
    return parts.join(", ");
  }

  #report(json: boolean): ExitCode {
    const data = {
      matched: this.#matched,
      done: this.#done,
      refused: this.#refusedBy,
      errors: this.#refused.map(({ task_id, code, message }) => ({
        task_id,
        error: { code, message },
      })),
    };
    const worst = worstOf(this.#refused);
    if (!worst) {
      if (json) printData(data);
      else talk(this.#matched === 0 ? "no such tasks" : this.#summary());
      return EXIT.ok;
    }
    if (!json) {
      for (const { message } of this.#refused.slice(0, MAX_PRINTED)) say(escapeControls(message));
    }
    const hint = "they have changed since they were listed; see them with: sd ls";
    return reportError({ code: worst.code, message: this.#summary(), hint }, { json, data });
  }
}
