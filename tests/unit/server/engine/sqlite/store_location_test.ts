/** Tests which file a sqlite URL names. */

import { assertEquals, assertThrows } from "@std/assert";
import { SdError } from "../../../../../protocol/errors.ts";
import { sqlitePath } from "../../../../../server/engine/sqlite/location.ts";

Deno.test("sqlite: alone is sd.db in the data directory", () => {
  const separator = Deno.build.os === "windows" ? "\\" : "/";
  assertEquals(sqlitePath("sqlite:", "/var/lib/sd"), `/var/lib/sd${separator}sd.db`);
  assertEquals(sqlitePath("sqlite:", "data/"), "data/sd.db");
});

Deno.test("sqlite:PATH is that file, with the slashes of other URLs too", () => {
  assertEquals(sqlitePath("sqlite:x.db", "/d"), "x.db");
  assertEquals(sqlitePath("sqlite:./a b/x.db", "/d"), "./a b/x.db");
  assertEquals(sqlitePath("sqlite:/srv/x.db", "/d"), "/srv/x.db");
  assertEquals(sqlitePath("sqlite://srv/x.db", "/d"), "/srv/x.db");
  assertEquals(sqlitePath("sqlite:///srv/x.db", "/d"), "/srv/x.db");
});

Deno.test("a URL that names no file is refused with an example of a right one", () => {
  for (const url of ["sqlite::memory:", "sqlite:a\0b", "memory:", "postgres://x"]) {
    const error = assertThrows(() => sqlitePath(url, "/d"), SdError, "sqlite:");
    assertEquals(error.code, "bad_request");
  }
  assertThrows(() => sqlitePath("sqlite::memory:", "/d"), SdError, "take the engine memory:");
});
