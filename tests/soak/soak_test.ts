/** The short form of `deno task soak`. */

import { assertEquals } from "@std/assert";

Deno.test({
  name: "workers and worker processes that are replaced leave nothing behind",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["task", "--quiet", "soak", "--workers=200", "--processes=10"],
      cwd: new URL("../..", import.meta.url),
    }).output();
    assertEquals(code, 0, new TextDecoder().decode(stdout));
  },
});
