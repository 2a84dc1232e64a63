/** The short form of `deno task soak`. */

import { assertEquals } from "@std/assert";

Deno.test({
  name: "workers and worker processes that are replaced leave nothing behind",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const script = new URL("./soak.ts", import.meta.url).pathname;
    const permissions = ["net", "read", "write", "env", "run"].map((name) => `--allow-${name}`);
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        ...permissions,
        "--no-prompt",
        "--unstable-worker-options",
        script,
        "--workers=200",
        "--processes=12",
      ],
    }).output();
    assertEquals(code, 0, new TextDecoder().decode(stdout));
  },
});
