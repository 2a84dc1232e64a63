/**
 * Reads the first line of a work link: which release the worker process is, what it can hold, and its ops. Every
 * member is checked; unknown members of an op are left out. The secret is checked elsewhere.
 */

import { quote, SdError } from "../../../protocol/errors.ts";
import {
  MAX_ATTEMPTS,
  MAX_BACKOFF_MS,
  MAX_CREDIT,
  MAX_DELAY_MS,
  MAX_FILE_NAME_CHARS,
  MAX_INSTANCE_CHARS,
  MAX_KEY_LIMIT,
  MAX_LEASE_NUMBER,
  MAX_OP_CHARS,
  MAX_OP_PERMISSIONS,
  MAX_OPS,
  MAX_PERMISSION_CHARS,
  MAX_SCHEMA_CHARS,
  MAX_SCHEMA_DEPTH,
  MAX_TASK_ID_CHARS,
  MAX_TIMEOUT_MS,
  MAX_VENDOR_CHARS,
  MAX_WORKERS,
} from "../../../protocol/limits.ts";
import type { JsonObject } from "../../../protocol/message.ts";
import {
  commonWorkVersion,
  OLDEST_WORK_VERSION,
  WORK_VERSION,
  type WorkHello,
} from "../../../protocol/work_message.ts";
import { checkDepth } from "../../../protocol/json_guard.ts";
import { type OpSpec, readOpVersion, type SchemaSpec } from "../../../protocol/op_spec.ts";
import { Fields, wrong } from "../../../protocol/fields.ts";
import { readRate } from "../../../protocol/text_forms.ts";

/** Checks the first line of a work link. Throws `bad_request`; the secret is checked elsewhere. */
export function readWorkHello(message: JsonObject): WorkHello {
  const { workers, credit, ops, pid, machine, pool, alive, single } = message;
  const isCount = (value: unknown, max: number) =>
    Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max;
  checkWorkVersion(message);
  if (
    !isCount(workers, MAX_WORKERS) || !isCount(credit, MAX_CREDIT) ||
    !isCount(pid, Number.MAX_SAFE_INTEGER) ||
    (machine !== undefined && !isMachine(machine)) ||
    (pool !== undefined && typeof pool !== "string") ||
    (alive !== undefined && alive !== true) || (single !== undefined && single !== true) ||
    !isRightAboutRuns(message)
  ) {
    throw new SdError("bad_request", "the first line of this work link is not well formed");
  }
  return { ...message as unknown as WorkHello, ops: readOpSpecs(ops) };
}

/** Whether the members about runs of an earlier link are well formed. */
function isRightAboutRuns({ instance, last, holds, leaving }: JsonObject): boolean {
  const isInstance = instance === undefined ||
    (typeof instance === "string" && instance !== "" && instance.length <= MAX_INSTANCE_CHARS);
  return isInstance && (last === undefined || isLeaseNumber(last) || last === 0) &&
    (leaving === undefined || leaving === true) && (holds === undefined || areHolds(holds));
}

function areHolds(holds: unknown): boolean {
  if (!Array.isArray(holds) || holds.length > MAX_CREDIT || !holds.every(isHold)) return false;
  return new Set(holds.map((hold) => hold[3])).size === holds.length;
}

function isHold(hold: unknown): boolean {
  if (!Array.isArray(hold)) return false;
  const [id, attempt, startedAt, lease] = hold;
  return typeof id === "string" && id !== "" && id.length <= MAX_TASK_ID_CHARS &&
    Number.isSafeInteger(attempt) && attempt >= 1 &&
    Number.isSafeInteger(startedAt) && startedAt >= 0 && isLeaseNumber(lease);
}

function isLeaseNumber(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) > 0 &&
    (value as number) <= MAX_LEASE_NUMBER;
}

/** The version that the server and the worker process speak. Throws `bad_request` if there is none. */
export function checkWorkVersion(hello: JsonObject): number {
  const common = commonWorkVersion(hello);
  if (common !== undefined) return common;
  const own = OLDEST_WORK_VERSION === WORK_VERSION
    ? `version ${WORK_VERSION}`
    : `versions ${OLDEST_WORK_VERSION} to ${WORK_VERSION}`;
  throw new SdError(
    "bad_request",
    `this server speaks ${own} with its workers, this one version ${hello.version}; ` +
      "run the same release of sd on both, or the one before or after it",
  );
}

function isMachine(name: unknown): boolean {
  return typeof name === "string" && name !== "" && name.length <= MAX_MACHINE_CHARS;
}

/** The versions of the ops that have one. */
export function versionsOf({ ops }: WorkHello): ReadonlyMap<string, string> {
  return new Map(ops.flatMap(({ op, version }) => version === undefined ? [] : [[op, version]]));
}

/** Longest name of a machine: that of a host in the DNS. */
const MAX_MACHINE_CHARS = 253;

const NUMBERS = [
  ["timeout", { min: 1, max: MAX_TIMEOUT_MS }],
  ["attempts", { min: 1, max: MAX_ATTEMPTS }],
  ["backoff", { min: 0, max: MAX_BACKOFF_MS }],
  ["expires", { min: 1, max: MAX_DELAY_MS }],
  ["limit", { min: 1, max: MAX_KEY_LIMIT }],
] as const;

/** Throws `bad_request`, which names the op and the member. */
function readOpSpecs(ops: unknown): OpSpec[] {
  if (!Array.isArray(ops)) throw wrong("ops", "an array", ops);
  if (ops.length > MAX_OPS) {
    throw new SdError(
      "bad_request",
      `a worker process has at most ${MAX_OPS} ops; this one has ${ops.length}`,
    );
  }
  const seen = new Set<string>();
  return ops.map((spec: unknown) => {
    const op = readOp(spec);
    if (seen.has(op)) throw new SdError("bad_request", `ops names ${quote(op)} twice`);
    seen.add(op);
    try {
      return readSpec(op, new Fields(spec as JsonObject));
    } catch (error) {
      if (!(error instanceof SdError)) throw error;
      throw new SdError("bad_request", `op ${quote(op)}: ${error.message}`, { cause: error });
    }
  });
}

function readOp(spec: unknown): string {
  const op = typeof spec === "object" && spec !== null ? (spec as JsonObject).op : undefined;
  if (typeof op === "string" && op !== "" && op.length <= MAX_OP_CHARS) return op;
  throw wrong("ops", `of objects with op, a string of 1 to ${MAX_OP_CHARS} characters`, spec);
}

function readSpec(op: string, fields: Fields): OpSpec {
  const spec: OpSpec = { op };
  const file = fields.text("file", MAX_FILE_NAME_CHARS);
  if (file !== undefined) spec.file = file;
  const version = fields.raw("version");
  if (version !== undefined) spec.version = readOpVersion(version);
  for (const [name, range] of NUMBERS) {
    const value = fields.integer(name, range, NaN);
    if (!Number.isNaN(value)) spec[name] = value;
  }
  const rate = fields.raw("rate");
  if (readRate(rate)) spec.rate = rate as string;
  const schema = fields.object("schema");
  if (schema) spec.schema = readSchema(schema);
  const permissions = fields.raw("permissions");
  if (permissions !== undefined) spec.permissions = readPermissions(permissions);
  const isolate = fields.raw("isolate");
  if (isolate === true || isolate === "process") spec.isolate = isolate;
  else if (isolate !== undefined) throw wrong("isolate", 'true, "process" or absent', isolate);
  return spec;
}

function readSchema(fields: Fields): SchemaSpec {
  const vendor = fields.text("vendor", MAX_VENDOR_CHARS);
  if (vendor === undefined) throw wrong("schema.vendor", "the name of a library", vendor);
  if (!fields.object("json")) return { vendor };
  const json = fields.raw("json") as Record<string, unknown>;
  const text = JSON.stringify(json);
  checkDepth(text, MAX_SCHEMA_DEPTH);
  if (text.length <= MAX_SCHEMA_CHARS) return { vendor, json };
  throw wrong("schema.json", `at most ${MAX_SCHEMA_CHARS} characters of JSON`, text.length);
}

function readPermissions(permissions: unknown): string[] {
  const isOne = (one: unknown) =>
    typeof one === "string" && one !== "" && one.length <= MAX_PERMISSION_CHARS;
  if (
    Array.isArray(permissions) && permissions.length <= MAX_OP_PERMISSIONS &&
    permissions.every(isOne)
  ) {
    return permissions;
  }
  throw wrong(
    "permissions",
    `at most ${MAX_OP_PERMISSIONS} strings of 1 to ${MAX_PERMISSION_CHARS} characters`,
    permissions,
  );
}
