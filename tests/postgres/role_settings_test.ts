/** A role, or a database, can have settings of its own: no session of sd takes them over where they would change what sd does. */

import { assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { OwnSchema, withPostgres } from "../kit/services.ts";
import { cellsOf, taskRow, writeOf } from "./rows.ts";
import { takeLead } from "./test_lead.ts";

Deno.test(withPostgres("settings of the role change nothing of what sd means"), async () => {
  await using schema = new OwnSchema();
  const role = schema.name;
  const settings = {
    array_nulls: "off",
    standard_conforming_strings: "off",
    default_transaction_isolation: "serializable",
    search_path: "nowhere",
    statement_timeout: "5ms",
    lock_timeout: "1ms",
    idle_in_transaction_session_timeout: "1ms",
    timezone: "Asia/Kathmandu",
    datestyle: "German, DMY",
    intervalstyle: "iso_8601",
    extra_float_digits: "-15",
    client_encoding: "LATIN1",
    ...(Number(await schema.sql("show server_version_num")) >= 140_000 &&
      { idle_session_timeout: "10ms" }),
  };
  await schema.sql(
    `create role ${role} login; create schema ${role} authorization ${role};` +
      Object.entries(settings).map(([name, value]) => `alter role ${role} set ${name} = '${value}'`)
        .join(";"),
  );
  const url = new URL(schema.url);
  url.username = role;
  try {
    const lead = await takeLead(String(url));
    const { store, session, opened: { next } } = lead;
    const row = taskRow(next, {
      payload: JSON.stringify(["NULL", "\\", `\\"`, "'", "é", "😀"]),
      key: "\\",
      result: "NULL",
    });
    await store.call("write", writeOf({ inserts: cellsOf(row) }));
    await delay(50);
    assertEquals(await store.call("find", { ids: [row.id] }), [row]);
    assertEquals(session.generation, 1);
    const call = `select submit('x', '{"a":1}'::text, '{}') is not null`;
    assertEquals(await schema.sql(`set standard_conforming_strings = off; ${call}`), "t");
    await store.close();
  } finally {
    await schema.sql(`drop owned by ${role} cascade; drop role ${role}`);
  }
});
