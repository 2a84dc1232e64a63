/** Does one thing to many tasks, some batches in flight, and tells what came of it. */

import { EXIT, type ExitCode } from "../../../cli/exit.ts";
import { type ErrorReport, printData, tellError } from "../../../cli/report.ts";
import { escapeControls, say } from "../../../cli/talk.ts";
import type { ErrorBody } from "../../../protocol/errors.ts";
import { MAX_TASK_IDS } from "../../../protocol/limits.ts";
import type { Client } from "../../client.ts";
import { worstOf } from "./each_task.ts";
import { talk } from "../base/output.ts";
import { Semaphore } from "./semaphore.ts";
import { withCommas } from "../base/table.ts";
import { rawOf } from "../../server_client.ts";

/** The next ones are on their way while the server is busy with one. */
const MAX_BATCHES = 4;
/** Refusals told one by one; of more only their number is told. */
const MAX_TOLD = 5;

export interface BulkVerb {
  /** The command of the wire, and what a person calls it. */
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

  /** All of `pages`, each of at most as many ids as a command takes. */
  async all(
    pages: AsyncIterable<string[]> | Iterable<string[]>,
    { json }: { json: boolean },
  ): Promise<ExitCode> {
    try {
      for await (const ids of pages) {
        for (let at = 0; at < ids.length; at += MAX_TASK_IDS) {
          await this.#slots.take();
          if (this.#broken === undefined) this.#start(ids.slice(at, at + MAX_TASK_IDS));
          else this.#slots.release();
        }
        if (this.#broken !== undefined) break;
      }
      await this.#slots.idle();
      if (this.#broken !== undefined) throw this.#broken;
    } catch (error) {
      // What was done is done, whatever ends the rest.
      if (!json && this.#matched > 0) talk(this.#summary());
      throw error;
    }
    return this.#tell(json);
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
    // A task that runs is given the time it takes to stop.
    const { tasks } = await rawOf(this.#client).ask<{ tasks: Answer[] }>(message, {
      ms: Infinity,
    });
    for (const { task_id, error } of tasks) {
      if (!error) {
        this.#done++;
        continue;
      }
      this.#refusedBy[error.code] = (this.#refusedBy[error.code] ?? 0) + 1;
      // One of each kind is kept, since the worst of them is what the command ends with.
      const isNew = !this.#refused.some(({ code }) => code === error.code);
      if (isNew || this.#refused.length < MAX_TOLD) this.#refused.push({ ...error, task_id });
    }
  }

  #summary(): string {
    const { done } = this.#verb;
    const refused = Object.values(this.#refusedBy).reduce((sum, count) => sum + count, 0);
    const parts = [`${withCommas(this.#done)} ${this.#done === 1 ? "task" : "tasks"} ${done}`];
    if (refused > 0) parts.push(`${withCommas(refused)} refused`);
    return parts.join(", ");
  }

  #tell(json: boolean): ExitCode {
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
      for (const { message } of this.#refused.slice(0, MAX_TOLD)) say(escapeControls(message));
    }
    const hint = "they have changed since they were looked for; see them with: sd ls";
    return tellError({ code: worst.code, message: this.#summary(), hint }, { json, data });
  }
}
