/**
 * The reason why a task does not run: a code for programs and a sentence for people. A pure function of the engine's
 * record, the pauses and the workers that have the op.
 */

import { formatDuration, formatTime, withCommas } from "../../protocol/text_forms.ts";
import { quote } from "../../protocol/errors.ts";
import { MAX_DEATHS } from "../../protocol/limits.ts";
import {
  isFinal,
  type Progress,
  type Status,
  type Why,
  type WhyCode,
} from "../../protocol/task.ts";
import type { TaskRecord, WaitReason } from "../engine/engine.ts";

/** The conditions outside of its record that decide whether a task starts. */
export interface Surroundings {
  readonly progress: Progress | undefined;
  /** The server is stopping, and starts no more tasks. */
  readonly isStopping: boolean;
  /** Set if the op of the task, or all ops, are paused. */
  readonly paused: "op" | "all" | undefined;
  /** Workers that have the op, in all worker processes. */
  readonly workers: number;
  /** One of their processes takes a task now. */
  readonly hasRoom: boolean;
  /** How often the watchdog found tasks that stood still. */
  readonly standstills?: number;
  /** For a task that was cancelled because of another: the status of that one, if it is still known. */
  readonly parentStatus: Status | undefined;
}

type Reason = readonly [code: WhyCode, why: string, ahead?: number | undefined];

/** `record` has its `waitReason`, unless it is final. */
export function whyOf(record: TaskRecord, surroundings: Surroundings): Why {
  const [code, why, ahead] = reasonOf(record, surroundings);
  return {
    task_id: record.id,
    status: record.status,
    code,
    why,
    ...(ahead === undefined ? {} : { ahead }),
  };
}

function reasonOf(record: TaskRecord, surroundings: Surroundings): Reason {
  if (isFinal(record.status)) return ["final", sentenceOfEnd(record, surroundings.parentStatus)];
  const { waitReason = { heldBy: "turn" } } = record;
  if (waitReason.heldBy === "running") {
    return ["running", sentenceOfRun(record, surroundings.progress)];
  }
  if (waitReason.heldBy === "after") return ["after", sentenceOfAfter(waitReason.after ?? [])];
  if (waitReason.heldBy === "time") return delayOf(record, waitReason.until ?? record.runAt);
  return hindranceOf(record, waitReason, surroundings) ?? heldOf(record, waitReason) ??
    turnOf(record, waitReason.ahead ?? 0, surroundings);
}

function sentenceOfEnd(record: TaskRecord, parentStatus: Status | undefined): string {
  const { attempt, rules, error, cancelledFor } = record;
  const at = formatTime(record.finishedAt);
  switch (record.status) {
    case "completed":
      return `it is final: it completed at ${at}`;
    case "failed":
      return `it is final: attempt ${attempt} of ${rules.attempts} failed at ${at}` +
        (error ? `: ${error.code}: ${error.message}` : "");
    case "expired":
      return `it is final: it expired at ${at}, since it had not started by ${
        formatTime(record.expiresAt)
      }`;
    default:
      if (cancelledFor === undefined) return `it is final: it was cancelled at ${at}`;
      return `it was cancelled, since task ${quote(cancelledFor)} that it came after ${
        endWord(parentStatus)
      }`;
  }
}

function endWord(status: Status | undefined): string {
  if (status === "failed" || status === "expired") return status;
  return status === "cancelled" ? "was cancelled" : "did not complete";
}

function sentenceOfRun(record: TaskRecord, progress: Progress | undefined): string {
  const far = progress ? `, ${Math.floor(progress.fraction * 100)} % done` : "";
  const note = progress?.note === undefined ? "" : ` (${progress.note})`;
  return `it is running: attempt ${record.attempt}, since ${
    formatTime(record.startedAt)
  }${far}${note}`;
}

/** Most parents that the sentence names; a task can have thousands. */
const NAMED = 5;

function sentenceOfAfter(ids: readonly string[]): string {
  const named = ids.slice(0, NAMED).join(", ");
  const more = ids.length > NAMED ? ` and ${withCommas(ids.length - NAMED)} more` : "";
  return `it waits for ${count(ids.length, "task")} to complete: ${named}${more}`;
}

function delayOf({ attempt, error }: TaskRecord, until: number): Reason {
  if (attempt === 0) return ["delayed", `it is delayed until ${formatTime(until)}`];
  const failed = error ? `${error.code}: ${error.message}` : "no reason is known";
  return [
    "backoff",
    `attempt ${attempt + 1} comes at ${formatTime(until)} (attempt ${attempt} failed: ${failed})`,
  ];
}

/** The reason that holds back all tasks of its op, or of a server that has just begun. */
function hindranceOf(
  { op }: TaskRecord,
  { heldBy, until }: WaitReason,
  surroundings: Surroundings,
): Reason | undefined {
  const { paused, isStopping, workers } = surroundings;
  if (isStopping) return ["stopping", "the server is stopping and hands out nothing more"];
  if (paused === "all") return ["paused", "all ops are paused; resume them with: sd resume --all"];
  if (paused === "op") {
    return ["paused", `op ${quote(op)} is paused; resume it with: sd resume ${op}`];
  }
  if (heldBy === "takeover" && until !== undefined) {
    return [
      "takeover",
      `the server before may have started it, or tasks that count in its limit: it waits for worker ` +
      `processes to come back, until ${formatTime(until)} at the latest`,
    ];
  }
  if (workers === 0) return ["no_worker", `no worker has the op ${quote(op)}`];
  return undefined;
}

/** The reason that holds back this task when its turn has come. */
function heldOf({ op, keyLimit }: TaskRecord, waitReason: WaitReason): Reason | undefined {
  const { heldBy, until, limit, ahead } = waitReason;
  if (heldBy === "op_limit" && limit !== undefined) {
    const verb = limit === 1 ? "is" : "are";
    return [
      "op_limit",
      `${count(limit, "task")} of the op ${quote(op)} ${verb} running, its limit`,
      ahead,
    ];
  }
  if (heldBy === "op_rate" && until !== undefined) {
    const next = `the next may start at ${formatTime(until)}`;
    return [
      "op_rate",
      `as many tasks of the op ${quote(op)} have started as its rate allows; ${next}`,
      ahead,
    ];
  }
  if (heldBy === "key_limit" && keyLimit) {
    const verb = keyLimit.limit === 1 ? "is" : "are";
    return [
      "key_limit",
      `${count(keyLimit.limit, "task")} with the key ${
        quote(keyLimit.key)
      } ${verb} running, its limit`,
      ahead,
    ];
  }
  if (heldBy === "key_rate" && keyLimit?.rate) {
    const { starts, windowMs } = keyLimit.rate;
    const next = until === undefined ? "" : `; the next may start at ${formatTime(until)}`;
    return [
      "key_rate",
      `${count(starts, "task")} of the key ${quote(keyLimit.key)} ${
        starts === 1 ? "has" : "have"
      } started in the last ${formatDuration(windowMs)}, its rate${next}`,
      ahead,
    ];
  }
  if (heldBy !== "suspect") return undefined;
  return [
    "suspect",
    `it was running in ${MAX_DEATHS - 1} deaths of its worker process; it runs alone, once a ` +
    "worker process holds nothing else",
    ahead,
  ];
}

function turnOf({ op }: TaskRecord, ahead: number, surroundings: Surroundings): Reason {
  const { workers, hasRoom, standstills = 0 } = surroundings;
  const standstill = standstills > 0
    ? `; the server found ${count(standstills, "standstill")} of due tasks before: see its log`
    : "";
  if (ahead > 0) {
    const before = `${count(ahead, "task")} ${ahead === 1 ? "is" : "are"} before it`;
    return [hasRoom ? "next" : "workers_busy", `it waits for its turn: ${before}`, ahead];
  }
  if (hasRoom) return ["next", `it is the next to be started${standstill}`, ahead];
  const busy = workers === 1 ? "the one worker" : `all ${withCommas(workers)} workers`;
  const verb = workers === 1 ? "is" : "are";
  return ["workers_busy", `it is the next, but ${busy} of op ${quote(op)} ${verb} busy`, ahead];
}

function count(number: number, noun: string): string {
  return `${withCommas(number)} ${noun}${number === 1 ? "" : "s"}`;
}
