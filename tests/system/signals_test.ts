/** Signals to a server, its workers and its clients: to one process, to all of a terminal, and ignored ones. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async/deadline";
import { delay } from "@std/async/delay";
import { selfCommand } from "../../cli/pool/self_command.ts";
import { connect } from "../../client/mod.ts";
import { isInstalled, needing } from "../kit/needs.ts";
import { SdServe, shell } from "../kit/sd_process.ts";

const PATIENCE_MS = 60_000;
const onLinux = needing(
  "Linux, setsid and nohup",
  Deno.build.os === "linux" && await isInstalled("setsid", "nohup", "pgrep"),
);
/** A group of its own, in which hangups are ignored. */
const NOHUP = ["setsid", "nohup"];

async function signalGroup(pid: number, signal: string): Promise<void> {
  assertEquals(await shell(`kill -${signal} -${pid} && echo sent`), "sent");
}

function workersOf(pid: number): Promise<string> {
  return shell(`pgrep -P ${pid}`);
}

async function square(server: SdServe, n: number): Promise<unknown> {
  await using client = await connect(server.address);
  return await client.run("square", { n });
}

Deno.test(
  onLinux("nohup: the server and its workers outlive a hangup of all of them"),
  async () => {
    await using server = await SdServe.start(["--workers", "1"], { through: NOHUP });
    const workers = await workersOf(server.child.pid);
    await signalGroup(server.child.pid, "HUP");
    assertEquals(await square(server, 7), 49);
    await signalGroup(server.child.pid, "HUP");
    assertEquals(await square(server, 8), 64);
    assertEquals(await workersOf(server.child.pid), workers);
    assertEquals(await server.stop("SIGTERM"), 0);
  },
);

Deno.test(
  onLinux("without nohup a hangup of all processes stops the server, and running tasks finish"),
  async () => {
    await using server = await SdServe.start(["--workers", "1"], {
      through: ["setsid"],
    });
    await using client = await connect(server.address);
    const nap = client.run("sleep", { ms: 500 });
    const started = async () => (await client.list({ status: "running" })).tasks.length > 0;
    while (!await started()) await delay(10);
    await signalGroup(server.child.pid, "HUP");
    assertEquals(await nap, 500);
    assertEquals((await deadline(server.child.status, PATIENCE_MS)).code, 0);
    assert(server.lines.some((line) => line.includes("SIGHUP: stopping")));
  },
);

Deno.test(onLinux("a server that was started with Ctrl-C ignored goes on after one"), async () => {
  await using server = await SdServe.start(["--workers", "1"], { before: `trap "" INT` });
  server.child.kill("SIGINT");
  assertEquals(await square(server, 7), 49);
  server.child.kill("SIGINT");
  assertEquals(await square(server, 8), 64);
});

Deno.test(
  onLinux("nohup: workers elsewhere and a client that waits outlive a hangup"),
  async () => {
    await using server = await SdServe.start(["--workers", "0"], {
      env: { SD_POOL_SECRET: "a-secret-of-this-test" },
    });
    const env = { SD_POOL_SECRET: "a-secret-of-this-test", NO_COLOR: "1", LC_ALL: "C" };
    const start = (args: string[]) => {
      const self = selfCommand([...args, "--server", server.server]);
      const [path = "", ...all] = [...NOHUP, self.path, ...self.args];
      return new Deno.Command(path, {
        args: all,
        env,
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
    };
    const client = start(["submit", "--timeout", "0", `{"op":"square","n":7}`]);
    await using observer = await connect(server.address);
    while ((await observer.list({ status: "queued" })).tasks.length === 0) await delay(10);
    await signalGroup(client.pid, "HUP");
    const work = start(["work", "--workers", "1"]);
    const talk = work.stderr.pipeThrough(new TextDecoderStream()).getReader();
    assertStringIncludes((await talk.read()).value ?? "", "connected");
    await signalGroup(work.pid, "HUP");
    const { code, stdout } = await deadline(client.output(), PATIENCE_MS);
    assertEquals([code, new TextDecoder().decode(stdout)], [0, "49\n"]);
    await signalGroup(work.pid, "HUP");
    assertEquals(await square(server, 8), 64);
    work.kill("SIGTERM");
    await talk.cancel();
    await work.stdout.cancel();
    assertEquals((await deadline(work.status, PATIENCE_MS)).code, 0);
  },
);
