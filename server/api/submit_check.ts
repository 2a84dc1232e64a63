/**
 * Refuses submits for their op: no worker has it, or its schema does not allow the arguments. A submit whose client
 * chose the id can be a repetition of a task that exists; then it is not refused here, and the engine decides.
 */

import { nearest } from "../../cli/nearest.ts";
import { cutText, quote, SdError } from "../../protocol/errors.ts";
import { MAX_FAULT_MESSAGE_CHARS, MAX_FAULT_PATH_CHARS } from "../../protocol/limits.ts";
import type { OpSpec } from "../../protocol/op_spec.ts";
import type { SchemaFault } from "../../protocol/work_message.ts";
import type { Engine } from "../engine/engine.ts";
import type { KnownOp, NewTask } from "../task/new_task.ts";

export interface KnownOps {
  readonly ready: Promise<void> | undefined;
  /** `undefined` if no worker has the op, or ever had it. */
  get(op: unknown): KnownOp | undefined;
  names(): Iterable<string>;
  list(): (OpSpec & { workers: number })[];
}

/** Longest difference in length of two similar names. */
const MAX_SLIPS = 3;
/** Most names that an unknown op is compared with. */
const MAX_LOOKS = 100;

interface SubmitCheckOptions {
  readonly engine: Pick<Engine, "get">;
  readonly ops: KnownOps;
  readonly schemas: {
    /** The fault of each submit; null if it has none, or if no worker could check it. */
    check(submits: readonly (readonly [string, string])[]): Promise<(SchemaFault | null)[]>;
  };
}

export class SubmitCheck {
  readonly #options: SubmitCheckOptions;

  constructor(options: SubmitCheckOptions) {
    this.#options = options;
  }

  /** Pending until it is known which ops there are. */
  get ready(): Promise<void> | undefined {
    return this.#options.ops.ready;
  }

  /** What is known of the op of a message. */
  knownOp(op: unknown): KnownOp | undefined {
    return this.#options.ops.get(op);
  }

  /** Throws `unknown_op` if no worker has the op. */
  checkOp(op: string): void {
    if (!this.#options.ops.get(op)) throw this.#unknownOp(op);
  }

  /** Throws `bad_request` if the schema of the op does not allow the arguments of a submitted line. */
  async checkArguments(op: string, line: string): Promise<void> {
    if (!this.#options.ops.get(op)?.hasSchema) return;
    const [fault] = await this.#options.schemas.check([[op, line]]);
    if (fault) throw faultError(op, fault);
  }

  /** Whether `refusals` must judge a task before it is taken. Throws if it is refused in any case. */
  isDoubtful({ op, idGiven }: NewTask, known: KnownOp | undefined): boolean {
    if (known) return known.hasSchema;
    if (idGiven) return true;
    throw this.#unknownOp(op);
  }

  /** The refusal of each task, or `undefined`. */
  async refusals(tasks: readonly NewTask[]): Promise<(SdError | undefined)[]> {
    const { ops, schemas, engine } = this.#options;
    const known = tasks.map(({ op }) => ops.get(op));
    const refusals = tasks.map(({ op }, i) => known[i] ? undefined : this.#unknownOp(op));
    const toCheck = tasks.flatMap((_, i) => known[i]?.hasSchema ? [i] : []);
    const faults = await schemas.check(
      toCheck.map((i) => [tasks[i]!.op, tasks[i]!.payload] as const),
    );
    toCheck.forEach((i, at) => {
      const fault = faults[at];
      if (fault) refusals[i] = faultError(tasks[i]!.op, fault);
    });
    const named = tasks.flatMap(({ idGiven }, i) => idGiven && refusals[i] ? [i] : []);
    if (named.length > 0) {
      const records = await engine.get(named.map((i) => tasks[i]!.id));
      named.forEach((i, at) => {
        if (records[at]) refusals[i] = undefined;
      });
    }
    return refusals;
  }

  #unknownOp(op: string): SdError {
    const meant = nearest(op, likely(op, this.#options.ops.names()));
    const hint = meant === undefined ? "" : `did you mean ${quote(meant)}? `;
    return new SdError(
      "unknown_op",
      `no worker has an op ${quote(op)}; ${hint}{"cmd":"ops"} lists them`,
    );
  }
}

/** The names that can be near to `op`. There are up to thousands, and each comparison takes time. */
function likely(op: string, names: Iterable<string>): string[] {
  const some: string[] = [];
  for (const name of names) {
    const isSimilar = Math.abs(name.length - op.length) <= MAX_SLIPS &&
      (name[0] === op[0] || name.at(-1) === op.at(-1));
    if (isSimilar && some.push(name) === MAX_LOOKS) break;
  }
  return some;
}

function faultError(op: string, { path, message }: SchemaFault): SdError {
  const where = path === "" ? "its arguments" : `argument ${quoteAll(path)}`;
  const what = cutText(message, MAX_FAULT_MESSAGE_CHARS);
  return new SdError("bad_request", `cannot submit ${quote(op)}: ${where}: ${what}`);
}

/** A path in quotation marks, cut only at its own, longer limit. */
function quoteAll(path: string): string {
  return JSON.stringify(cutText(path, MAX_FAULT_PATH_CHARS));
}
