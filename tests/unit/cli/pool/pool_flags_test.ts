/** The flags that say what task code may do: read as Deno reads its own, and kept from the server's secrets. */

import { assertEquals, assertThrows } from "@std/assert";
import { resolve } from "node:path";
import { ClientError } from "../../../../net/client_error.ts";
import { parseFlags } from "../../../../cli/flags.ts";
import { environmentFor, permissionsOf, POOL_FLAGS } from "../../../../cli/pool/pool_flags.ts";

function parse(...argv: string[]) {
  return parseFlags(POOL_FLAGS, { argv, env: () => undefined });
}

const permissions = (...argv: string[]) => permissionsOf(parse(...argv).flags);

function refusal(...argv: string[]): string {
  const error = assertThrows(() => permissions(...argv), ClientError);
  assertEquals(error.code, "usage");
  return error.message;
}

Deno.test("a grant alone is for all, one with a list for these, and none for nothing", () => {
  assertEquals(permissions(), {});
  assertEquals(permissions("--allow-net"), { net: true });
  assertEquals(permissions("--allow-net=a.test,b.test:80"), { net: ["a.test", "b.test:80"] });
  assertEquals(permissions("--allow-env=A", "--allow-env=B,C"), { env: ["A", "B", "C"] });
  assertEquals(permissions("--allow-env=A", "--allow-env"), { env: true });
  assertEquals(permissions("--allow-ffi", "--allow-sys=hostname", "--allow-run=git"), {
    sys: ["hostname"],
    run: ["git"],
    ffi: true,
  });
});

Deno.test("a grant never takes the argument after it, which is a task file", () => {
  const { flags, args } = parse("--allow-read", "tasks.ts", "--allow-net", "--", "more.ts");
  assertEquals([flags.allowRead, flags.allowNet, args], [true, true, ["tasks.ts", "more.ts"]]);
});

Deno.test("a grant with an empty list is refused", () => {
  assertEquals(refusal("--allow-net="), "--allow-net needs a value: --allow-net=HOST,…");
  assertEquals(
    refusal("--allow-net=a,,b"),
    '--allow-net has an empty value between its commas: "a,,b"',
  );
  assertEquals(refusal("--allow-everything"), "unknown flag --allow-everything");
});

Deno.test("relative paths count from the folder of the command", () => {
  assertEquals(permissions("--allow-read=data,/srv/../etc", "--allow-write=."), {
    read: [resolve("data"), "/etc"],
    write: [Deno.cwd()],
  });
});

Deno.test("the server's own variables are given to no task", () => {
  for (const name of ["SD_TOKEN", "SD_POOL_SECRET", "SD_*"]) {
    assertEquals(
      refusal(`--allow-env=HOME,${name}`),
      `--allow-env cannot give "${name}": it is the server's own`,
    );
  }
  const own = { SD_TOKEN: "secret", GIVEN_TO_A: "a", GIVEN_TO_B: "b", OTHER: "o" };
  for (const [name, value] of Object.entries(own)) Deno.env.set(name, value);
  try {
    assertEquals(environmentFor({}), {});
    assertEquals(environmentFor({ env: ["GIVEN_TO_A", "NOT_THERE"] }), { GIVEN_TO_A: "a" });
    assertEquals(environmentFor({ env: ["GIVEN_TO_*", "OTHER"] }), {
      GIVEN_TO_A: "a",
      GIVEN_TO_B: "b",
      OTHER: "o",
    });
    const all = environmentFor({ env: true });
    assertEquals([all.OTHER, all.SD_TOKEN, environmentFor({ env: ["S*"] }).SD_TOKEN], [
      "o",
      undefined,
      undefined,
    ]);
  } finally {
    for (const name of Object.keys(own)) Deno.env.delete(name);
  }
});
