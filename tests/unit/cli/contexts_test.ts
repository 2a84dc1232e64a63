/** The file of named servers: its content, its permissions, and errors for a damaged file. */

import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { ClientError } from "../../../net/client_error.ts";
import {
  changeContexts,
  checkContextName,
  contextNamed,
  readContexts,
} from "../../../cli/contexts.ts";
import {
  MAX_CONTEXT_NAME_CHARS,
  MAX_CONTEXTS,
  MAX_CONTEXTS_FILE_BYTES,
} from "../../../protocol/limits.ts";

const PROD = { server: "10.0.0.5:5000", tls: true, token_env: "PROD" };

/** Runs `use` with the path of a file that is not there yet. */
function withFile(use: (path: string) => void): void {
  const folder = Deno.makeTempDirSync({ prefix: "sd-test-" });
  try {
    use(`${folder}/config/sd/contexts.json`);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("saved contexts are read again, and only their owner can read the file", () =>
  withFile((path) => {
    assertEquals(readContexts(path), { current: undefined, named: new Map() });
    changeContexts((contexts) => {
      contexts.named.set("prod", PROD);
      contexts.current = "prod";
    }, path);
    assertEquals(readContexts(path), { current: "prod", named: new Map([["prod", PROD]]) });
    if (Deno.build.os !== "windows") assertEquals((Deno.statSync(path).mode ?? 0) & 0o777, 0o600);
    const names = [...Deno.readDirSync(path.replace(/[^/]*$/, ""))].map(({ name }) => name);
    assertEquals(names.sort(), ["contexts.json", "contexts.json.lock"]);
  }));

Deno.test("a change that fails changes nothing", () =>
  withFile((path) => {
    changeContexts(({ named }) => void named.set("prod", PROD), path);
    const before = Deno.readTextFileSync(path);
    assertThrows(() =>
      changeContexts(({ named }) => {
        named.clear();
        throw new Error("no");
      }, path)
    );
    assertEquals(Deno.readTextFileSync(path), before);
  }));

Deno.test("a damaged, too large or newer file is an error with its path", () =>
  withFile((path) => {
    changeContexts(() => undefined, path);
    const cases = [
      "",
      "{",
      "[]",
      '{"version":2,"contexts":{}}',
      '{"version":1}',
      '{"version":1,"contexts":{"a":{}}}',
      '{"version":1,"contexts":{"a b":{"server":"x"}}}',
      '{"version":1,"contexts":{"a":{"server":"x","token_file":1}}}',
      " ".repeat(MAX_CONTEXTS_FILE_BYTES + 1),
    ];
    for (const text of cases) {
      Deno.writeTextFileSync(path, text);
      const error = assertThrows(() => readContexts(path), ClientError, path);
      assertEquals(error.code, "usage");
      assertStringIncludes(error.hint ?? "", "--server");
      assertThrows(() => changeContexts(() => undefined, path), ClientError, path);
      assertEquals(Deno.readTextFileSync(path), text);
    }
  }));

Deno.test("names and their number have limits", () =>
  withFile((path) => {
    for (const name of ["a", "A-1._", "constructor", "x".repeat(MAX_CONTEXT_NAME_CHARS)]) {
      checkContextName(name);
    }
    const bad = ["", "-a", "__proto__", "a b", "a/b", "é", "x".repeat(MAX_CONTEXT_NAME_CHARS + 1)];
    for (const name of bad) assertThrows(() => checkContextName(name), ClientError);
    const fill = (count: number) =>
      changeContexts(({ named }) => {
        for (let i = 0; i < count; i++) named.set(`c${i}`, PROD);
      }, path);
    fill(MAX_CONTEXTS);
    assertThrows(() => fill(MAX_CONTEXTS + 1), ClientError, "the most");
    assertEquals(readContexts(path).named.size, MAX_CONTEXTS);
  }));

Deno.test("a context is found by its exact name only", () => {
  const contexts = { current: undefined, named: new Map([["prod", PROD]]) };
  assertEquals(contextNamed(contexts, { name: "prod" }), PROD);
  assertEquals(contextNamed(contexts, { name: "default" }), undefined);
  const missing = () => contextNamed(contexts, { name: "constructor", from: "SD_CONTEXT" });
  assertThrows(missing, ClientError, 'there is no context "constructor" (SD_CONTEXT)');
});
