/** What `sd doctor` finds: one thing looked at, a verdict, and the cure where it is not well. */

import type { AnyCode } from "../../../net/client_error.ts";

export type Verdict = "ok" | "warning" | "problem";

/** As `--json` tells it, but for `code`. */
export interface Check {
  /** What was looked at, in one word. */
  readonly name: string;
  readonly verdict: Verdict;
  readonly message: string;
  /** What to do about it; of every one that is not ok. */
  readonly cure?: string;
  /** Of a problem: what the command ends with. */
  readonly code?: AnyCode;
}

export function ok(name: string, message: string): Check {
  return { name, verdict: "ok", message };
}

export function warning(name: string, { message, cure }: Ailment): Check {
  return { name, verdict: "warning", message, cure };
}

export function problem(name: string, { message, cure, code }: Ailment & { code: AnyCode }): Check {
  return { name, verdict: "problem", message, cure, code };
}

export interface Ailment {
  readonly message: string;
  readonly cure: string;
}
