/** The door of SQL: `submit` in the transaction of its caller, and what it refuses there. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { leadTables } from "../../server/engine/postgres/lead_tables.ts";
import { OwnSchema, withPostgres } from "../kit/services.ts";

async function withTables(): Promise<OwnSchema> {
  const schema = new OwnSchema();
  await schema.sql(`create schema "${schema.name}"; ${leadTables(schema.name)}`);
  return schema;
}

async function lines(schema: OwnSchema): Promise<Record<string, unknown>[]> {
  const text = await schema.sql("select line from inbox order by n");
  return text === "" ? [] : text.split("\n").map((line) => JSON.parse(line));
}

Deno.test(
  withPostgres(
    "submit makes the line of a task, with arguments as text or as jsonb, and returns its id",
  ),
  async () => {
    await using schema = await withTables();
    const id = await schema.sql(`select submit('square', '{"n":4}')`);
    await schema.sql(
      `select submit('square', jsonb_build_object('n', 5), '{"id":"a-1","priority":5}')`,
    );
    await schema.sql("select submit('noop')");
    await schema.sql(
      `select submit('odd "op"', ' {"n":1.50, "z":"\\u0000",\n"deep":{"a":["} "]} } ')`,
    );
    const [first, second, third, fourth] = await lines(schema);
    assertEquals(first, { n: 4, op: "square", task: { id, wait: false } });
    assertEquals(second, { n: 5, op: "square", task: { id: "a-1", wait: false, priority: 5 } });
    assertEquals(third?.op, "noop");
    assertEquals([fourth?.op, fourth?.z, fourth?.deep], ['odd "op"', "\0", { a: ["} "] }]);
    assert((await schema.sql("select line from inbox order by n desc limit 1")).includes("1.50"));
  },
);

Deno.test(withPostgres("a transaction that is rolled back submits nothing"), async () => {
  await using schema = await withTables();
  await schema.sql("begin; select submit('noop'); rollback");
  assertEquals(await lines(schema), []);
});

Deno.test(withPostgres("a bad submit is refused where it is made"), async () => {
  await using schema = await withTables();
  for (
    const [call, reason] of [
      ["submit('', '{}')", "op must be"],
      [`submit('${"x".repeat(129)}', '{}')`, "op must be"],
      ["submit(null, '{}')", "op must be"],
      ["submit('x', '[1]')", "args must be a JSON object"],
      ["submit('x', 'null')", "args must be a JSON object"],
      ["submit('x', null::text)", "args must be a JSON object"],
      ["submit('x', '{')", "invalid input syntax for type json"],
      [`submit('x', '{"op":"y"}')`, "must not have the members op"],
      [`submit('x', '{"task":{}}')`, "must not have the members op"],
      ["submit('x', '{}', '[]')", "options must be a JSON object"],
      ["submit('x', '{}', null)", "options must be a JSON object"],
      [`submit('x', '{}', '{"id":"a b"}')`, "the id of a task"],
      ["submit('x', ('{\"a\":\"' || repeat('x', 1048576) || '\"}'))", "at most 1048576 bytes"],
    ] as const
  ) await assertRejects(() => schema.sql(`select ${call}`), Error, reason);
  assertEquals(await lines(schema), []);
});

Deno.test(
  withPostgres("members of the arguments never replace the op and the options"),
  async () => {
    await using schema = await withTables();
    await schema.sql(
      `select submit('x', '{"a":"\\u0000","op":"evil","task":{"id":"other"}}', '{"id":"mine"}')`,
    );
    const [line] = await lines(schema);
    assertEquals([line?.op, line?.task], ["x", { id: "mine", wait: false }]);
  },
);

Deno.test(
  withPostgres("a role needs the right to use the schema, and no right to its tables"),
  async () => {
    await using schema = await withTables();
    const role = schema.name;
    await schema.sql(`create role "${role}"`);
    try {
      const asRole = (text: string) => schema.sql(`set role "${role}"; ${text}`);
      await assertRejects(
        () => asRole(`select "${schema.name}".submit('x', '{}')`),
        Error,
        "permission",
      );
      await schema.sql(`grant usage on schema "${schema.name}" to "${role}"`);
      await asRole(`select "${schema.name}".submit('x', '{}')`);
      await assertRejects(() => asRole("select * from inbox"), Error, "permission denied");
      assertEquals((await lines(schema)).length, 1);
    } finally {
      await schema.sql(`drop owned by "${role}"; drop role "${role}"`);
    }
  },
);
