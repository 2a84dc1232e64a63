/** Reads the first line of a work link: who the worker process is, and what it can do. */

import { SdError } from "../../protocol/errors.ts";
import { MAX_CREDIT, MAX_OP_CHARS, MAX_WORKERS } from "../../protocol/limits.ts";
import type { JsonObject } from "../../protocol/message.ts";
import { WORK_VERSION, type WorkHello } from "../../protocol/work_message.ts";
import { type Rate, readRate } from "../task/rate.ts";

/** Checks the first line of a work link. Throws `bad_request`; the secret is checked elsewhere. */
export function readWorkHello(message: JsonObject): WorkHello {
  const { version, workers, credit, ops, pid, pool } = message;
  const isCount = (value: unknown, max: number) =>
    Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max;
  const isOp = (op: unknown) => typeof op === "string" && op !== "" && op.length <= MAX_OP_CHARS;
  if (version !== WORK_VERSION) {
    throw new SdError(
      "bad_request",
      `this server speaks version ${WORK_VERSION} with its workers, this one version ${version}; ` +
        "run the same release of sd on both",
    );
  }
  if (
    !isCount(workers, MAX_WORKERS) || !isCount(credit, MAX_CREDIT) ||
    !isCount(pid, Number.MAX_SAFE_INTEGER) || !Array.isArray(ops) ||
    !ops.every((spec) => isOp(spec?.op)) ||
    (pool !== undefined && typeof pool !== "string")
  ) {
    throw new SdError("bad_request", "the first line of this work link is not well formed");
  }
  return message as unknown as WorkHello;
}

/** The rates of the ops that have one. Throws `bad_request` where one of them is none. */
export function ratesOf({ ops }: WorkHello): ReadonlyMap<string, Rate> {
  const read = new Map<string, Rate>();
  for (const { op, rate: text } of ops) {
    const rate = readRate(text);
    if (rate) read.set(op, rate);
  }
  return read;
}

/** The versions of the ops that have one. */
export function versionsOf({ ops }: WorkHello): ReadonlyMap<string, string> {
  return new Map(ops.flatMap(({ op, version }) => version === undefined ? [] : [[op, version]]));
}
