/** The contract of an engine's settings: each change counts once it is committed, and changes can be watched. */

import { assertEquals } from "@std/assert";
import type { ContractTest } from "./contract_steps.ts";

export const SETTING_TESTS: Record<string, ContractTest> = {
  async "a setting is kept until it is removed, and found by its prefix"({ settings }) {
    await settings.save("a/1", "x");
    await settings.save("a/2", "y");
    await settings.save("b/1", "z");
    assertEquals(settings.list("a/"), [["a/1", "x"], ["a/2", "y"]]);
    await settings.save("a/1", undefined);
    assertEquals([settings.get("a/1"), settings.get("a/2")], [undefined, "y"]);
  },

  async "a setting is replaced only if its value is the expected one"({ settings }) {
    const replace = (expected: string | undefined, value: string | undefined) =>
      settings.replace("name", { expected, value });
    assertEquals(await replace("x", "y"), false);
    assertEquals(await replace(undefined, "x"), true);
    assertEquals(await replace(undefined, "y"), false);
    assertEquals([await replace("x", undefined), settings.get("name")], [true, undefined]);
  },

  async "of several replacements at a time that expect one value, one succeeds"({ settings }) {
    const values = ["1", "2", "3"];
    const replaced = await Promise.all(
      values.map((value) => settings.replace("leader", { expected: undefined, value })),
    );
    assertEquals(replaced.filter((succeeded) => succeeded).length, 1);
    assertEquals(settings.get("leader"), values[replaced.indexOf(true)]);
  },

  async "a watcher gets each change of its prefix once it counts, until it stops"({ settings }) {
    const seen: unknown[] = [];
    const stop = settings.watch("a/", (name, value) => {
      assertEquals(settings.get(name), value);
      seen.push([name, value]);
    });
    await settings.save("a/1", "x");
    await settings.save("b/1", "x");
    await settings.replace("a/1", { expected: "y", value: "z" });
    await settings.replace("a/1", { expected: "x", value: undefined });
    stop();
    await settings.save("a/1", "x");
    assertEquals(seen, [["a/1", "x"], ["a/1", undefined]]);
  },
};
