/** What a Standard Schema makes of arguments, and what is told of it. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { MAX_FAULT_MESSAGE_CHARS, MAX_FAULT_PATH_CHARS } from "../../../../protocol/limits.ts";
import { type Checked, readSchema, schemaFault } from "../../../../workers/ops/schema.ts";

/** A schema whose `validate` answers `result`. */
function answering(result: unknown, more: Record<string, unknown> = {}) {
  return { "~standard": { version: 1, vendor: "test", validate: () => result, ...more } };
}

async function checkedBy(result: unknown): Promise<Checked> {
  return await readSchema("f", answering(result)).check({});
}

Deno.test("a value that is no Standard Schema of version 1 is refused", () => {
  const validate = () => ({ value: {} });
  for (
    const schema of [
      null,
      5,
      "object",
      {},
      { parse() {} },
      { "~standard": null },
      { "~standard": { version: 2, validate } },
      { "~standard": { version: 1, validate: true } },
    ]
  ) {
    const { message } = assertThrows(() => readSchema("f", schema), Error);
    assertEquals(message.startsWith("f.options.schema is no Standard Schema (version 1)"), true);
  }
  // arktype's are functions.
  readSchema("f", Object.assign(() => {}, answering({ value: {} })));
});

Deno.test("the handler gets the output of the schema", async () => {
  assertEquals(await checkedBy({ value: { n: 1 } }), { args: { n: 1 } });
  assertEquals(await checkedBy(Promise.resolve({ value: { n: 1 } })), { args: { n: 1 } });
  for (const value of [5, null, undefined, "x"]) {
    assertEquals(await checkedBy({ value }), {
      fault: { path: "", message: "the schema turned it into something that is no object" },
    });
  }
});

Deno.test("the first issue is reported, with its path as in code", async () => {
  const paths: [path: unknown, text: string][] = [
    [undefined, ""],
    [[], ""],
    [["n"], "n"],
    [["user", "emails", 2], "user.emails[2]"],
    [[{ key: "user" }, { key: 0 }, { key: "name" }], "user[0].name"],
    [[0], "[0]"],
    [[Symbol("s")], "Symbol(s)"],
  ];
  for (const [path, text] of paths) {
    const issues = [{ message: "wrong", path }, { message: "wrong as well" }];
    assertEquals(await checkedBy({ issues }), { fault: { path: text, message: "wrong" } });
  }
  // Issues are there, so something is wrong, whatever it is.
  assertEquals("fault" in await checkedBy({ issues: [] }), true);
});

Deno.test("a schema that throws or rejects is heard", async () => {
  const thrown = readSchema("f", {
    "~standard": {
      version: 1,
      vendor: "test",
      validate() {
        throw new Error("boom");
      },
    },
  });
  assertThrows(() => thrown.check({}), Error, "boom");
  await assertRejects(() => checkedBy(Promise.reject(new Error("late"))), Error, "late");
});

Deno.test("the vendor is reported, and the arguments in JSON Schema if the library can express them", () => {
  const json = { type: "object" };
  assertEquals(readSchema("f", answering({})).spec, { vendor: "test" });
  assertEquals(
    readSchema("f", answering({}, { jsonSchema: { input: () => json } })).spec,
    { vendor: "test", json },
  );
  assertEquals(
    readSchema("f", { ...answering({}), toJsonSchema: () => json }).spec,
    { vendor: "test", json },
  );
  const cannot = {
    input() {
      throw new Error("not everything can be said");
    },
  };
  assertEquals(readSchema("f", answering({}, { jsonSchema: cannot })).spec, { vendor: "test" });
  const vendor = readSchema("f", answering({}, { vendor: "v".repeat(1000) })).spec.vendor;
  assertEquals(vendor.length < 1000, true);
});

Deno.test("a fault is cut to its limit, and never within a character", () => {
  const { path, message } = schemaFault(
    "a".repeat(MAX_FAULT_PATH_CHARS - 2) + "😀😀",
    "b".repeat(MAX_FAULT_MESSAGE_CHARS - 2) + "😀😀",
  );
  assertEquals(path, `${"a".repeat(MAX_FAULT_PATH_CHARS - 2)}…`);
  assertEquals(message, `${"b".repeat(MAX_FAULT_MESSAGE_CHARS - 2)}…`);
});
