/** The folders of sd when HOME and the XDG variables are unusable: never the working directory. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { configDir, stateDirIfAny } from "../../cli/state_dir.ts";
import { needing } from "../kit/needs.ts";
import { runSd, shell } from "../kit/sd_process.ts";

const onUnix = needing("a system with homes", Deno.build.os === "linux");

function withEnv<T>(env: Record<string, string | undefined>, read: () => T): T {
  const before = Object.keys(env).map((name) => [name, Deno.env.get(name)] as const);
  const set = (name: string, value: string | undefined) =>
    value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value);
  try {
    for (const [name, value] of Object.entries(env)) set(name, value);
    return read();
  } finally {
    for (const [name, value] of before) set(name, value);
  }
}

Deno.test(onUnix("only absolute paths count, then the home in the system's list"), async () => {
  const home = await shell(`eval echo "~$(id -un)"`);
  const none = { XDG_STATE_HOME: undefined, XDG_CONFIG_HOME: undefined };
  const cases: [Record<string, string | undefined>, string, string][] = [
    [{ ...none, HOME: "/h" }, "/h/.local/state/sd", "/h/.config/sd"],
    [{ HOME: "/h", XDG_STATE_HOME: "/s", XDG_CONFIG_HOME: "/c/" }, "/s/sd", "/c/sd"],
    [
      { HOME: "/h", XDG_STATE_HOME: "s", XDG_CONFIG_HOME: "~/c" },
      "/h/.local/state/sd",
      "/h/.config/sd",
    ],
    ...[undefined, "", "/", ".", "~"].map((
      HOME,
    ): [Record<string, string | undefined>, string, string] => [
      { ...none, HOME },
      `${home}/.local/state/sd`,
      `${home}/.config/sd`,
    ]),
  ];
  for (const [env, state, config] of cases) {
    assertEquals(
      withEnv(env, () => [stateDirIfAny(), configDir()]),
      [state, config],
      JSON.stringify(env),
    );
  }
});

Deno.test(
  onUnix("without any home sd names the variable to set, and clients need none"),
  async () => {
    // Without programs the system cannot be asked.
    const env = { HOME: "/", XDG_STATE_HOME: "", XDG_CONFIG_HOME: "", PATH: "/nowhere" };
    const denoDir = Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`;
    const run = (...args: string[]) => runSd(args, { ...env, DENO_DIR: denoDir });
    const serve = await run("serve", "--port", "0");
    assertEquals(serve.code, 2);
    assertStringIncludes(serve.stderr, "there is no state directory: HOME is not set");
    assertStringIncludes(serve.stderr, "--data DIR");
    const work = await run("work", "--server", "127.0.0.1:1");
    assertEquals(work.code, 2);
    assertStringIncludes(work.stderr, "--secret-file FILE");
    assertEquals((await run("status", "--server", "127.0.0.1:1")).code, 3);
    assertEquals((await run("context", "ls")).code, 0);
    const add = await run("context", "add", "a", "--server", "a:1");
    assertEquals(add.code, 2);
    assertStringIncludes(add.stderr, "XDG_CONFIG_HOME");
    const doctor = await run("doctor", "--json", "--server", "127.0.0.1:1");
    assertStringIncludes(doctor.stdout, "there is no state directory");
  },
);

Deno.test("a path that begins with ~ is refused", async () => {
  for (const args of [["--data", "~/sd"], ["--engine", "sqlite:~/sd.db"]]) {
    const { code, stderr } = await runSd(["serve", "--port", "0", ...args]);
    assertEquals(code, 2, stderr);
    assert(stderr.startsWith(`sd: ${args[0]} is`), stderr);
  }
});
