/**
 * The description of an op that a worker process sends when it connects: the source of its handler, and its `options`.
 * The server reads it; `ops` shows it to clients.
 */

import { wrong } from "./fields.ts";
import { checkDepth } from "./json_guard.ts";
import { MAX_SCHEMA_CHARS, MAX_SCHEMA_DEPTH, MAX_SCHEMAS_CHARS } from "./limits.ts";

/** The schema of an op's arguments. */
export interface SchemaSpec {
  /** The library that made it, by its name in Standard Schema: `zod`, `valibot`, `arktype`. */
  vendor: string;
  /** The arguments in JSON Schema, if the library can write that. */
  json?: Record<string, unknown>;
}

/** An op and its options. Times are in ms; absent options have the defaults of the wire. */
export interface OpSpec {
  op: string;
  /** The task file, as it was named on the command line; absent for a built-in op. */
  file?: string;
  /** Version of the task file with the local files that it imports: 12 hex digits of a SHA-256. */
  version?: string;
  /** Default `timeout` of its tasks; the next three are defaults as well. */
  timeout?: number;
  attempts?: number;
  backoff?: number;
  expires?: number;
  /** Most tasks of the op that run at a time, on all workers together. */
  limit?: number;
  /** Most tasks of the op that start in a time, like `"10/1m"`. */
  rate?: string;
  /** The schema that arguments are checked against at the submit; absent if there is none. */
  schema?: SchemaSpec;
  /** Permissions of its task code, like `net=api.example.com`, if it has fewer than the worker process. */
  permissions?: string[];
  /** Each run has a fresh worker (`true`), or a process of its own. */
  isolate?: true | "process";
}

const VERSION = /^[0-9a-f]{12}$/;

/** The version of a task file: 12 hex digits. Throws `bad_request`. */
export function readOpVersion(version: unknown): string {
  if (typeof version === "string" && VERSION.test(version)) return version;
  throw wrong("version", "12 hex digits", version);
}

/** `specs` in the form that a worker process sends: without JSON Schemas that are too long or too deep. */
export function reportable(specs: readonly OpSpec[]): OpSpec[] {
  let chars = 0;
  return specs.map((spec) => {
    const { schema } = spec;
    if (!schema?.json) return spec;
    const text = JSON.stringify(schema.json);
    if (isShallow(text) && text.length <= MAX_SCHEMA_CHARS) {
      chars += text.length;
      if (chars <= MAX_SCHEMAS_CHARS) return spec;
    }
    return { ...spec, schema: { vendor: schema.vendor } };
  });
}

function isShallow(text: string): boolean {
  try {
    checkDepth(text, MAX_SCHEMA_DEPTH);
    return true;
  } catch {
    // It throws for no other reason.
    return false;
  }
}
