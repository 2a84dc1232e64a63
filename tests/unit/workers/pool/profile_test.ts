/** What a worker may do: never more than the command line allows. */

import { assert, assertEquals } from "@std/assert";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { TaskPermissions } from "../../../../protocol/pool_start.ts";
import {
  notAllowed,
  permissionTexts,
  Profiles,
  workerPermissions,
} from "../../../../workers/pool/profile.ts";

Deno.test("the same permissions are the same profile, in any order", () => {
  const profiles = new Profiles({ net: true, env: ["A"] });
  const like = (permissions: TaskPermissions, isolate = false) =>
    profiles.of({ permissions, isolate });
  assert(like({ env: ["A"], net: true }) === profiles.base);
  assert(like({ env: ["A"], net: true }, true) !== profiles.base);
  assert(like({ env: ["A"] }) !== profiles.base);
  assert(like({}) === like({}));
});

Deno.test("a worker may read its own files besides its permissions", () => {
  const file = pathToFileURL("/tasks/a.ts");
  const none = { files: [], hosts: [] };
  assertEquals(workerPermissions({}, none), "none");
  assertEquals(workerPermissions({}, { files: ["/tasks/a.ts"], hosts: [] }), { read: [file] });
  assertEquals(
    workerPermissions({ read: ["/data"], net: ["a.test"] }, {
      files: ["/tasks/a.ts"],
      hosts: ["jsr.io:443"],
    }),
    { read: [file, "/data"], net: ["a.test"], import: ["jsr.io:443"] },
  );
  assertEquals(workerPermissions({ read: true }, { files: ["/tasks/a.ts"], hosts: [] }), {
    read: true,
  });
  assertEquals(workerPermissions({ read: ["/data"] }, none), { read: ["/data"] });
});

Deno.test("an op that asks for more than is allowed gets the flag that would allow it", () => {
  const cases: [wanted: TaskPermissions, allowed: TaskPermissions, missing: string | undefined][] =
    [
      [{}, {}, undefined],
      [{}, { net: true }, undefined],
      [{ net: ["a.test"] }, { net: true }, undefined],
      [{ net: ["a.test"] }, { net: ["a.test", "b.test"] }, undefined],
      [{ net: ["a.test:80"] }, { net: ["a.test"] }, undefined],
      [{ net: ["[::1]:80"] }, { net: ["[::1]"] }, undefined],
      [{ net: ["a.test"] }, { net: ["a.test:80"] }, "--allow-net=a.test"],
      [{ net: ["a.test:81"] }, { net: ["a.test:80"] }, "--allow-net=a.test:81"],
      [{ net: ["a.test.evil.test"] }, { net: ["a.test"] }, "--allow-net=a.test.evil.test"],
      [{ net: true }, { net: ["a.test"] }, "--allow-net"],
      [{ net: ["a.test", "b.test"] }, { net: ["a.test"] }, "--allow-net=b.test"],
      [{ net: ["a.test"] }, {}, "--allow-net=a.test"],
      [{ ffi: true }, {}, "--allow-ffi"],
      [{ ffi: true }, { ffi: true }, undefined],
      [{ env: ["A"] }, { env: ["A"] }, undefined],
      [{ env: ["AB"] }, { env: ["A"] }, "--allow-env=AB"],
      [{ env: ["AWS_KEY"] }, { env: ["AWS_*"] }, undefined],
      [{ env: ["AWS"] }, { env: ["AWS_*"] }, "--allow-env=AWS"],
      [{ run: ["/bin/sh"] }, { run: ["sh"] }, "--allow-run=/bin/sh"],
    ];
  for (const [wanted, allowed, missing] of cases) {
    assertEquals(notAllowed(wanted, allowed), missing, JSON.stringify([wanted, allowed]));
  }
});

Deno.test("a path is allowed by a folder that contains it", () => {
  const allowed = { read: [resolve("data"), "/srv/files", "/var/x/"] };
  for (
    const path of [
      "data",
      "./data/a.txt",
      "data/../data/a",
      resolve("data/deep/er"),
      "/srv/files",
      "/srv/files/",
      "/srv/files/a",
      "/srv/files/..a",
      "/var/x",
      "/var/x/y",
    ]
  ) assertEquals(notAllowed({ read: [path] }, allowed), undefined, path);
  for (
    const path of [
      "/",
      "/srv",
      "/srv/files2",
      "/srv/files/../other",
      "/srv/files/../../etc/passwd",
      "data/../other",
      "..",
      "/var",
    ]
  ) assertEquals(notAllowed({ read: [path] }, allowed), `--allow-read=${path}`, path);
  assertEquals(notAllowed({ write: ["/"] }, { write: ["/"] }), undefined);
  assertEquals(notAllowed({ write: ["/srv/a"] }, { write: ["/"] }), undefined);
  assertEquals(notAllowed({ write: ["/srv/files"] }, allowed), "--allow-write=/srv/files");
});

Deno.test("permissions are written like the flags that give them", () => {
  assertEquals(permissionTexts({}), ["none"]);
  assertEquals(permissionTexts({ net: ["a.test", "b.test"], read: true, ffi: true }), [
    "net=a.test,b.test",
    "read",
    "ffi",
  ]);
  assert(permissionTexts({ env: true })[0] === "env");
});
