/**
 * What a worker process says of each op that it has, when it connects: where its handler comes from, and
 * what its `options` ask for. Read by the server; `ops` shows it to clients.
 */

import { checkDepth } from "./json_guard.ts";
import { MAX_SCHEMA_CHARS, MAX_SCHEMA_DEPTH, MAX_SCHEMAS_CHARS } from "./limits.ts";

/** How an op checks its arguments, as far as that can be told in JSON. */
export interface SchemaSpec {
  /** The library that made it, as Standard Schema names it: `zod`, `valibot`, `arktype`. */
  vendor: string;
  /** The arguments in JSON Schema, where the library can tell. */
  json?: Record<string, unknown>;
}

/** Times are ms. What is absent has the default of the wire. */
export interface OpSpec {
  op: string;
  /** The task file, as it was named on the command line; absent for a built-in op. */
  file?: string;
  /** Of the task file with all that it imports from beside it: 12 hex digits of a SHA-256. */
  version?: string;
  /** For tasks that do not name their own. */
  timeout?: number;
  attempts?: number;
  backoff?: number;
  expires?: number;
  /** Tasks of the op that run at a time, on all workers together. */
  limit?: number;
  /** Tasks of the op that start in a time, like `"10/1m"`. */
  rate?: string;
  /** There is one: arguments are checked when a task is submitted. */
  schema?: SchemaSpec;
  /** What its task code may do, where that is less than the worker process allows, like `net=api.example.com`. */
  permissions?: string[];
  /** Each run has a fresh worker, or a process of its own. */
  isolate?: true | "process";
}

/** `specs` as a worker process may tell them: JSON Schemas that are too long or too deep are left out. */
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
    // All that it throws is that.
    return false;
  }
}
