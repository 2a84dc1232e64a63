/**
 * Reads and checks the `options` of an op in a task file. A wrong option is reported when the file is loaded, and not
 * when the first task runs. `task_modules.ts` calls it.
 */

import { parseDuration, readRate } from "../../protocol/text_forms.ts";
import { quote } from "../../protocol/errors.ts";
import {
  MAX_ATTEMPTS,
  MAX_BACKOFF_MS,
  MAX_DELAY_MS,
  MAX_KEY_LIMIT,
  MAX_TIMEOUT_MS,
} from "../../protocol/limits.ts";
import type { OpSpec } from "../../protocol/op_spec.ts";
import type { TaskPermissions } from "../../protocol/pool_start.ts";
import { readSchema, type Schema } from "./schema.ts";

/** The options of one op that are plain data. */
type OptionSpec = Omit<OpSpec, "op" | "file" | "version" | "schema" | "permissions">;

export interface OpOptions {
  readonly spec: OptionSpec;
  readonly schema: Schema | undefined;
  /** Permissions of its runs; `undefined`: the same as all ops. */
  readonly permissions: TaskPermissions | undefined;
}

const DURATIONS = {
  timeout: { min: 1, max: MAX_TIMEOUT_MS },
  backoff: { min: 0, max: MAX_BACKOFF_MS },
  expires: { min: 1, max: MAX_DELAY_MS },
} as const;
const COUNTS = {
  attempts: { min: 1, max: MAX_ATTEMPTS },
  limit: { min: 1, max: MAX_KEY_LIMIT },
} as const;
const PERMISSION_NAMES = ["net", "read", "write", "env", "sys", "run", "ffi"] as const;
const NAMES = [
  ...Object.keys(DURATIONS),
  ...Object.keys(COUNTS),
  "rate",
  "schema",
  "permissions",
  "isolate",
];

/** Reads the `options` of the op `op`. Throws an `Error` that names the fault and a correct value. */
export function readOpOptions(op: string, options: unknown): OpOptions {
  if (options === undefined) return { spec: {}, schema: undefined, permissions: undefined };
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new Error(`${op}.options is an object, like { timeout: "2m" }; this is ${show(options)}`);
  }
  const given = options as Record<string, unknown>;
  for (const name of Object.keys(given)) {
    if (!NAMES.includes(name)) {
      throw new Error(`${op}.options has no ${quote(name)}; there are ${NAMES.join(", ")}`);
    }
  }
  const spec: Record<string, unknown> = {};
  for (const [name, range] of Object.entries(DURATIONS)) {
    spec[name] = readDuration(`${op}.options.${name}`, given[name], range);
  }
  for (const [name, range] of Object.entries(COUNTS)) {
    spec[name] = readCount(`${op}.options.${name}`, given[name], range);
  }
  spec.rate = readRateText(op, given.rate);
  spec.isolate = readIsolate(op, given.isolate);
  return {
    spec: Object.fromEntries(Object.entries(spec).filter(([, value]) => value !== undefined)),
    schema: given.schema === undefined ? undefined : readSchema(op, given.schema),
    permissions: readPermissions(op, given.permissions),
  };
}

function readDuration(
  name: string,
  value: unknown,
  { min, max }: { min: number; max: number },
): number | undefined {
  if (value === undefined) return undefined;
  let ms = NaN;
  try {
    ms = typeof value === "string" ? parseDuration(value) : value as number;
  } catch {
    // Reported below, like any other wrong value.
  }
  if (Number.isInteger(ms) && ms >= min && ms <= max) return ms;
  throw new Error(
    `${name} is a duration like "30s" or a number of ms, from ${min} to ${max}; this is ${
      show(value)
    }`,
  );
}

function readCount(
  name: string,
  value: unknown,
  { min, max }: { min: number; max: number },
): number | undefined {
  if (value === undefined) return undefined;
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) {
    return value as number;
  }
  throw new Error(`${name} is an integer from ${min} to ${max}; this is ${show(value)}`);
}

function readRateText(op: string, rate: unknown): string | undefined {
  try {
    return readRate(rate) === undefined ? undefined : rate as string;
  } catch (error) {
    throw new Error(`${op}.options.rate: ${(error as Error).message}`, { cause: error });
  }
}

function readIsolate(op: string, isolate: unknown): true | "process" | undefined {
  if (isolate === undefined || typeof isolate === "boolean") return isolate || undefined;
  if (isolate === "process") return isolate;
  throw new Error(`${op}.options.isolate is true, false or "process"; this is ${show(isolate)}`);
}

function readPermissions(op: string, permissions: unknown): TaskPermissions | undefined {
  const name = `${op}.options.permissions`;
  if (permissions === undefined) return undefined;
  if (permissions === "none") return {};
  if (typeof permissions !== "object" || permissions === null || Array.isArray(permissions)) {
    throw new Error(
      `${name} is "none" or like { net: ["example.com"] }; this is ${show(permissions)}`,
    );
  }
  const read: Record<string, true | string[]> = {};
  for (const [kind, grant] of Object.entries(permissions)) {
    if (!(PERMISSION_NAMES as readonly string[]).includes(kind)) {
      throw new Error(`${name} has no ${quote(kind)}; there are ${PERMISSION_NAMES.join(", ")}`);
    }
    if (grant === false || grant === undefined) continue;
    const isList = Array.isArray(grant) && grant.every((each) => typeof each === "string") &&
      kind !== "ffi";
    if (grant !== true && !isList) {
      throw new Error(`${name}.${kind} is true or a list of strings; this is ${show(grant)}`);
    }
    if (grant === true || grant.length > 0) read[kind] = grant;
  }
  return read;
}

/** As `quote`, also for values that JSON cannot hold. */
function show(value: unknown): string {
  if (typeof value === "function" || typeof value === "symbol") return `a ${typeof value}`;
  try {
    return quote(value);
  } catch {
    return "an object that JSON cannot hold";
  }
}
