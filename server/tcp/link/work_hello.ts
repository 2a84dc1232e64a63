/** Reads the first line of a work link: who the worker process is, and what it can do. */

import { SdError } from "../../../protocol/errors.ts";
import { MAX_CREDIT, MAX_WORKERS } from "../../../protocol/limits.ts";
import type { JsonObject } from "../../../protocol/message.ts";
import { WORK_VERSION, type WorkHello } from "../../../protocol/work_message.ts";
import { readOpSpecs } from "./op_specs.ts";

/** Checks the first line of a work link. Throws `bad_request`; the secret is checked elsewhere. */
export function readWorkHello(message: JsonObject): WorkHello {
  const { version, workers, credit, ops, pid, pool, alive, single } = message;
  const isCount = (value: unknown, max: number) =>
    Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max;
  checkWorkVersion(version);
  if (
    !isCount(workers, MAX_WORKERS) || !isCount(credit, MAX_CREDIT) ||
    !isCount(pid, Number.MAX_SAFE_INTEGER) ||
    (pool !== undefined && typeof pool !== "string") ||
    (alive !== undefined && alive !== true) || (single !== undefined && single !== true)
  ) {
    throw new SdError("bad_request", "the first line of this work link is not well formed");
  }
  return { ...message as unknown as WorkHello, ops: readOpSpecs(ops) };
}

/** Throws `bad_request` for a worker process of another release. */
export function checkWorkVersion(version: unknown): void {
  if (version === WORK_VERSION) return;
  throw new SdError(
    "bad_request",
    `this server speaks version ${WORK_VERSION} with its workers, this one version ${version}; ` +
      "run the same release of sd on both",
  );
}

/** The versions of the ops that have one. */
export function versionsOf({ ops }: WorkHello): ReadonlyMap<string, string> {
  return new Map(ops.flatMap(({ op, version }) => version === undefined ? [] : [[op, version]]));
}
