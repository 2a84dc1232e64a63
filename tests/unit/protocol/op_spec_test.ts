/** What a worker process may tell of its ops. */

import { assertEquals } from "@std/assert";
import { MAX_SCHEMA_CHARS, MAX_SCHEMA_DEPTH, MAX_SCHEMAS_CHARS } from "../../../protocol/limits.ts";
import { type OpSpec, reportable } from "../../../protocol/op_spec.ts";

const spec = (json: Record<string, unknown>): OpSpec => ({
  op: "a",
  timeout: 1,
  schema: { vendor: "zod", json },
});
/** JSON of so many characters. */
const sized = (chars: number) => spec({ a: "x".repeat(chars - '{"a":""}'.length) });
const nested = (levels: number): Record<string, unknown> =>
  levels === 1 ? {} : { a: nested(levels - 1) };

Deno.test("a JSON Schema is sent up to its limits, and left out one past them", () => {
  const bare = { op: "a", timeout: 1, schema: { vendor: "zod" } };
  assertEquals(reportable([{ op: "b" }, bare]), [{ op: "b" }, bare]);
  const long = sized(MAX_SCHEMA_CHARS);
  assertEquals(reportable([long, sized(MAX_SCHEMA_CHARS + 1)]), [long, bare]);
  const deep = spec(nested(MAX_SCHEMA_DEPTH));
  assertEquals(reportable([deep, spec(nested(MAX_SCHEMA_DEPTH + 1))]), [deep, bare]);
  const many = MAX_SCHEMAS_CHARS / MAX_SCHEMA_CHARS;
  const told = reportable(Array.from({ length: many + 2 }, () => long));
  assertEquals(told.map(({ schema }) => schema?.json !== undefined), [
    ...Array.from({ length: many }, () => true),
    false,
    false,
  ]);
});
