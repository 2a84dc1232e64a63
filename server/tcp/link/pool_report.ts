/**
 * Reads what a worker process reports, every line but results, and says what that means for a task. A line that is no
 * report is a fault of the process, or of something between: `bad_request` with what was wrong. An object with other
 * members is a report of a later release, and is passed over.
 */

import { FAILURE_CODES, SdError } from "../../../protocol/errors.ts";
import { MAX_CREDIT } from "../../../protocol/limits.ts";
import type { JsonObject } from "../../../protocol/message.ts";
import type { Line } from "../../../protocol/ndjson.ts";
import { LOG_LEVELS } from "../../../protocol/task.ts";
import type { Lease, LeasedTask, Nack } from "../../engine/engine.ts";
import type { BrokenRun } from "../../dispatch/results.ts";
import type {
  PoolReport,
  RetireReason,
  SchemaFault,
  ServerOrder,
} from "../../../protocol/work_message.ts";
import type { UncheckedSubmit } from "../../dispatch/runner.ts";

const RETIRE_REASONS: readonly RetireReason[] = ["timeout", "cancel", "lost", "memory", "suspect"];
/** Of a bad line, how many characters its description quotes. */
const QUOTED_CHARS = 40;

/** The error of a task that took too much memory and could not be stopped. */
const OUT_OF_MEMORY = {
  code: "out_of_memory",
  message:
    "it took more memory than a worker's share (--max-memory), and its worker process was ended",
} as const;

/** A run that ended without a result. */
type RunFailure = Extract<PoolReport, { error: unknown } | { cancelled: true }>;

/** The report to the engine on the task of this run, which is leased under `lease`. */
export function nackOf(lease: Lease, report: RunFailure): Nack {
  if ("cancelled" in report) return { lease, reason: "stopped" };
  return { lease, reason: "failed", error: report.error, last: report.retry === false };
}

/**
 * The end of a run that a process held when its link ended. `retired`: why the process was replaced because of this
 * run, which did not stop.
 */
export function nackOfHeld(
  lease: Lease,
  retired: RetireReason | undefined,
  otherwise: "died" | "released" | "lost",
): Nack {
  switch (retired) {
    case "timeout":
      return {
        lease,
        reason: "failed",
        error: {
          code: "timeout",
          message: "stopped at its time limit; it did not obey, so its worker process was ended",
        },
      };
    case "cancel":
      return { lease, reason: "stopped" };
    case "memory":
      return { lease, reason: "failed", error: OUT_OF_MEMORY, last: true };
    case "suspect":
      return { lease, reason: "died", error: OUT_OF_MEMORY };
    default:
      return { lease, reason: otherwise };
  }
}

/** The report in `line`; `undefined` if it belongs to a later release. Throws `bad_request`. */
export function readReport(line: Line): PoolReport | undefined {
  if (line === null) throw bad(line, "is not UTF-8");
  let message: unknown;
  try {
    message = JSON.parse(line);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw bad(line, "is not JSON");
  }
  if (typeof message !== "object" || message === null || Array.isArray(message)) {
    throw bad(line, "is not an object");
  }
  const report = message as JsonObject;
  const isRight = rightOf(report);
  if (isRight === false) throw bad(line, "is not well formed");
  return isRight ? report as unknown as PoolReport : undefined;
}

/** Whether a report of this release is well formed; `undefined` if it is no report of this release. */
function rightOf(report: JsonObject): boolean | undefined {
  if ("lease" in report) return isLease(report.lease) && rightRun(report);
  if ("release" in report) return isLeases(report.release);
  if ("renew" in report) return isLeases(report.renew);
  if ("credit" in report) return isLease(report.credit) && report.credit <= MAX_CREDIT;
  if ("checked" in report) return isLease(report.checked);
  if ("forged" in report) return typeof report.forged === "string";
  if ("retire" in report) return Array.isArray(report.retire) && report.retire.every(isRetired);
  return undefined;
}

function rightRun(report: JsonObject): boolean {
  if ("error" in report) return isError(report.error);
  if ("progress" in report) return isProgress(report.progress);
  if ("log" in report) {
    const { log, dropped } = report;
    return Array.isArray(log) && log.every(isEntry) && (dropped === undefined || isLease(dropped));
  }
  return report.cancelled === true;
}

function isLease(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isLeases(value: unknown): boolean {
  return Array.isArray(value) && value.every(isLease);
}

function isRetired(value: unknown): boolean {
  return Array.isArray(value) && isLease(value[0]) && RETIRE_REASONS.includes(value[1]);
}

function isError(value: unknown): boolean {
  const error = value as { code?: unknown; message?: unknown } | null;
  return typeof error === "object" && error !== null && typeof error.message === "string" &&
    (FAILURE_CODES as readonly unknown[]).includes(error.code);
}

function isProgress(value: unknown): boolean {
  const progress = value as { fraction?: unknown; note?: unknown } | null;
  return typeof progress === "object" && progress !== null &&
    typeof progress.fraction === "number" &&
    (progress.note === undefined || typeof progress.note === "string");
}

function isEntry(value: unknown): boolean {
  return Array.isArray(value) && typeof value[0] === "number" &&
    (LOG_LEVELS as readonly unknown[]).includes(value[1]) && typeof value[2] === "string";
}

/** Names the line by its length and its beginning: the rest may be what a task returned. */
function bad(line: Line, what: string): SdError {
  if (line === null) return new SdError("bad_request", `a line of it ${what}`);
  const { length } = line;
  const begin = JSON.stringify(line.slice(0, QUOTED_CHARS));
  return new SdError(
    "bad_request",
    length <= QUOTED_CHARS
      ? `the line ${begin} ${what}`
      : `a line of ${length} characters that begins with ${begin} ${what}`,
  );
}

type Checked = Extract<PoolReport, { checked: number }>;
type Faults = readonly (SchemaFault | null)[];

interface Asked {
  readonly count: number;
  readonly resolve: (faults: Faults | undefined) => void;
}

export class LinkChecks {
  readonly #order: (order: ServerOrder) => void;
  readonly #asked = new Map<number, Asked>();
  #number = 0;
  #isCut = false;

  constructor(order: (order: ServerOrder) => void) {
    this.#order = order;
  }

  /** Of each submit its fault, or null; nothing where the process goes, or answers something else. */
  ask(submits: readonly UncheckedSubmit[]): Promise<Faults | undefined> {
    if (this.#isCut) return Promise.resolve(undefined);
    const check = ++this.#number;
    this.#order({ check, submits: submits.map(([op, line]) => [op, line]) });
    return new Promise((resolve) => {
      this.#asked.set(check, { count: submits.length, resolve });
    });
  }

  take({ checked, faults }: Checked): void {
    const asked = this.#asked.get(checked);
    if (!asked) return;
    this.#asked.delete(checked);
    const isAnswer = Array.isArray(faults) && faults.length === asked.count &&
      faults.every(isFault);
    asked.resolve(isAnswer ? faults : undefined);
  }

  cut(): void {
    this.#isCut = true;
    for (const { resolve } of this.#asked.values()) resolve(undefined);
    this.#asked.clear();
  }
}

function isFault(fault: unknown): fault is SchemaFault | null {
  if (fault === null) return true;
  if (typeof fault !== "object") return false;
  const { path, message } = fault as Partial<SchemaFault>;
  return typeof path === "string" && typeof message === "string";
}

/** A copy of the members that are reported: the engine's own object goes on changing. */
export function brokenRun({ id, op, attempt }: LeasedTask, nack: Nack): BrokenRun {
  return { nack, task: { id, op, attempt } };
}
