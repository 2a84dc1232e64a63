/**
 * Checks arguments by a Standard Schema (https://standardschema.dev, version 1), as zod, valibot, arktype and others make
 * them. Arguments are checked when a task is submitted, and again when it runs: the handler then gets the output of the
 * schema.
 */

import { clipText } from "../bridge/log_text.ts";
import {
  MAX_FAULT_MESSAGE_CHARS,
  MAX_FAULT_PATH_CHARS,
  MAX_VENDOR_CHARS,
} from "../../protocol/limits.ts";
import type { SchemaSpec } from "../../protocol/op_spec.ts";
import type { SchemaFault } from "../../protocol/work_message.ts";
import { NativePromise, promiseThen } from "../primordials.ts";

interface Issue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

interface StandardResult {
  readonly value?: unknown;
  readonly issues?: readonly Issue[] | undefined;
}

/** The interface of a Standard Schema, as far as it is used here. */
interface StandardSchema {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    validate(value: unknown): StandardResult | Promise<StandardResult>;
    readonly jsonSchema?: { input?(options: { target: string }): unknown };
  };
}

/** The arguments as the schema returns them, or their fault. */
export type Checked = { readonly args: Record<string, unknown> } | { readonly fault: SchemaFault };

export interface Schema {
  readonly spec: SchemaSpec;
  check(args: Record<string, unknown>): Checked | Promise<Checked>;
}

/** The schema of the op `op`. Throws an `Error` if `value` is no Standard Schema. */
export function readSchema(op: string, value: unknown): Schema {
  const schema = value as StandardSchema;
  const standard = isObject(value) ? schema["~standard"] : undefined;
  if (standard?.version !== 1 || typeof standard.validate !== "function") {
    throw new Error(
      `${op}.options.schema is no Standard Schema (version 1), as zod, valibot and arktype make them`,
    );
  }
  const validate = (args: Record<string, unknown>) => standard.validate(args);
  return {
    spec: specOf(schema),
    check(args) {
      const result = validate(args);
      if (!(result instanceof NativePromise)) return checkedOf(result);
      return new NativePromise((resolve, reject) =>
        promiseThen(result, (settled) => resolve(checkedOf(settled as StandardResult)), reject)
      );
    },
  };
}

function checkedOf({ issues, value }: StandardResult): Checked {
  const [issue] = issues ?? [];
  if (issue) return { fault: schemaFault(pathOf(issue), String(issue.message)) };
  if (isObject(value)) return { args: value };
  return { fault: schemaFault("", "the schema turned it into something that is no object") };
}

/** A fault, cut to the length that may travel. */
export function schemaFault(path: string, message: string): SchemaFault {
  return {
    path: clipText(path, MAX_FAULT_PATH_CHARS),
    message: clipText(message, MAX_FAULT_MESSAGE_CHARS),
  };
}

/** The path of an issue, like `user.emails[2]`. */
function pathOf({ path = [] }: Issue): string {
  let text = "";
  for (const segment of path) {
    const key = typeof segment === "object" ? segment.key : segment;
    if (typeof key === "number") text += `[${key}]`;
    else text += text === "" ? String(key) : `.${String(key)}`;
  }
  return text;
}

function specOf(schema: StandardSchema): SchemaSpec {
  const vendor = String(schema["~standard"].vendor).slice(0, MAX_VENDOR_CHARS);
  const json = jsonSchemaOf(schema);
  return isObject(json) ? { vendor, json } : { vendor };
}

/** The JSON Schema, by Standard JSON Schema or by the method of older releases of the libraries. */
function jsonSchemaOf(schema: StandardSchema): unknown {
  const { toJsonSchema } = schema as { toJsonSchema?: unknown };
  try {
    const { jsonSchema } = schema["~standard"];
    const json = jsonSchema?.input
      ? jsonSchema.input({ target: "draft-2020-12" })
      : typeof toJsonSchema === "function"
      ? toJsonSchema.call(schema)
      : undefined;
    // A plain copy, which can be posted as a message.
    return json && JSON.parse(JSON.stringify(json));
  } catch {
    // JSON Schema cannot express every check.
  }
  return undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}
