/**
 * The right end of a submitted task, worked out from its submit without a line of the server's code. Every task of a run
 * has arguments of its own, so that each end belongs to one task only.
 */

import { createHash } from "node:crypto";
import type { ErrorBody } from "../../protocol/errors.ts";
import type { FinalStatus } from "../../protocol/task.ts";

export type Ending =
  | { readonly is: "completes"; readonly result: unknown }
  /** At each attempt; the message of its error holds `mark`. */
  | { readonly is: "fails"; readonly mark: string }
  | { readonly is: "times_out" };

/** The end of a task as a reply to a client: a final line, or the answer to `get`, `wait` or `cancel`. */
export interface End {
  readonly status: FinalStatus;
  readonly result?: unknown;
  readonly error?: ErrorBody;
  readonly attempt?: number;
}

export function sha256(data: string, rounds: number): string {
  let digest = createHash("sha256").update(data, "utf8").digest();
  for (let i = 1; i < rounds; i++) digest = createHash("sha256").update(digest).digest();
  return digest.toString("hex");
}

/** One text, equal for equal ends, whichever reply they came in. */
export function endText({ status, result, error }: End): string {
  if (status === "cancelled" || status === "expired") return `["${status}"]`;
  return JSON.stringify([status, result ?? null, error?.code ?? null, error?.message ?? null]);
}

/** What is wrong with a task that ran to this end; nothing when it is what had to come. */
export function faultOfRun(ending: Ending, attempts: number, end: End): string | undefined {
  const { status, result, error, attempt } = end;
  if (ending.is === "completes") {
    const [want, got] = [JSON.stringify(ending.result), JSON.stringify(result)];
    return status === "completed" && want === got
      ? undefined
      : `must complete with ${want}, not ${endText(end)}`;
  }
  const isRight = ending.is === "fails"
    ? error?.code === "task_error" && error.message.includes(ending.mark)
    : error?.code === "timeout";
  if (status !== "failed" || !isRight) return `${ending.is}, not ${endText(end)}`;
  if (attempt === attempts) return undefined;
  return `must fail at attempt ${attempts}, the last, not at attempt ${attempt}`;
}

/** What of its end shows which task it was; nothing where many ends look alike. */
export function fingerprint(ending: Ending): string | undefined {
  switch (ending.is) {
    case "completes":
      return JSON.stringify(ending.result);
    case "fails":
      return ending.mark;
    case "times_out":
      return undefined;
  }
}
