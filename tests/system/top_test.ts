/** `sd top` on a terminal of its own: what it shows, what its keys do, and how it leaves the terminal. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { selfCommand } from "../../cli/pool/self_command.ts";
import { needing } from "../kit/needs.ts";
import { hasPython, PtyProcess } from "../kit/pty_process.ts";
import { runSd, SdServe } from "../kit/sd_process.ts";
import { TestServer } from "../kit/test_server.ts";

const UP = "\x1b[A";

/** `sd top` as a line of the shell. */
function topCommand(...args: string[]): string {
  const { path, args: all } = selfCommand(["top", ...args]);
  return [path, ...all].map((word) => `'${word}'`).join(" ");
}

/** Prints the settings of the terminal before and after, and the exit code of the command. */
function framed(command: string): string {
  return `before=$(stty -a); ${command}; code=$?; after=$(stty -a);
    test "$before" = "$after" && echo "terminal as before"; echo "exit=$code"`;
}

function startTop(server: TestServer, options: { size?: [number, number] } = {}): PtyProcess {
  const { hostname, port } = server.address;
  return PtyProcess.start(framed(topCommand("--interval", "100ms")), {
    ...options,
    env: { SD_SERVER: `${hostname}:${port}` },
  });
}

/** The screen with what was there is shown again, with its cursor, and lines wrap. */
function assertLeft({ text }: PtyProcess): void {
  const end = text.slice(text.lastIndexOf("\x1b[?1049l") - 12);
  for (const sequence of ["\x1b[?1049l", "\x1b[?25h", "\x1b[?7h"]) {
    assertStringIncludes(end, sequence);
  }
  assert(!text.slice(text.lastIndexOf("\x1b[?1049l")).includes("\x1b[?25l"));
}

const onTerminal = needing("Python", hasPython);

Deno.test({
  ...onTerminal("sd top shows running, waiting and failed tasks, and restores the terminal"),
  fn: async () => {
    await using server = await TestServer.start({ workers: 1 });
    using client = await server.connect();
    await client.ask({ op: "square", n: "x", task: { id: "bad", wait: false } });
    await client.ask({ cmd: "wait", task_id: "bad" });
    await client.ask({ op: "sleep", ms: 60_000, task: { id: "long", wait: false } });
    await client.ask({ op: "sleep", ms: 1, task: { id: "next", wait: false } });
    await using top = startTop(server);
    await top.shows(/> long +sleep +running +1\/1/);
    await top.shows(/sleep +1 +1 /);
    await top.shows(/bad +square +failed +1\/1 .* task_error/);
    await top.shows(/in [\d,]+\/s {2}out [\d,]+\/s {2}oldest waits \d+s {2}1 worker in 1 pool/);
    await top.shows(/pool \d+ {2}1 worker {2}holds \d: sleep \d/);
    assertEquals(top.screen.lines.length, 24);
    await top.type("q");
    await top.shows("exit=0");
    await top.shows("terminal as before");
    assertLeft(top);
  },
});

Deno.test({
  ...onTerminal("sd top: keys move, show, cancel, retry and filter"),
  fn: async () => {
    await using server = await TestServer.start({ workers: 2 });
    using client = await server.connect();
    for (const id of ["bad-1", "bad-2"]) {
      await client.ask({ op: "square", n: "x", task: { id, wait: false } });
      await client.ask({ cmd: "wait", task_id: id });
    }
    await client.ask({ op: "sleep", ms: 60_000, task: { id: "long", wait: false } });
    await client.ask({ op: "echo", task: { id: "later", delay: 3_600_000, wait: false } });
    await using top = startTop(server);
    await top.shows("> long");
    await top.type("j");
    await top.shows(/> bad-2|> bad-1/);
    await top.type(UP);
    await top.shows("> long");

    await top.type("\r");
    await top.shows(/why +it is running: attempt 1/);
    await top.type("\x1b");
    await top.shows("> long");
    await top.type("?");
    await top.shows("retry a task that failed");
    await top.type(" ");

    await top.type("c");
    await top.shows("cancel long (sleep, running)? y n");
    await top.type("n");
    await top.shows("> long");
    await top.type("cy");
    await top.shows("long is cancelled");
    await top.shows("RUNNING: none");

    await top.type("/nothing\r");
    await top.shows("no status, op or task is called nothing");
    await top.type("/delayed\r");
    await top.shows(/> later +echo +delayed/);
    await top.type("/" + "\x7f".repeat(7) + "echo\r");
    await top.shows("ONLY echo");
    await top.type("/" + "\x7f".repeat(4) + "bad-1\r");
    await top.shows(/> bad-1 +square +failed/);
    await client.ask({ cmd: "pause", op: "square" });
    await top.type("r");
    await top.shows("bad-1 is queued");
    await top.shows(/> bad-1 +square +queued/);
    await top.shows("paused: square");
    await top.type("\x1b");
    await top.shows("bad-2");
    await top.type("\x03");
    await top.shows("exit=130");
    await top.shows("terminal as before");
    assertLeft(top);
  },
});

Deno.test({
  ...onTerminal("sd top fits any size, and follows when it changes"),
  fn: async () => {
    await using server = await TestServer.start({ workers: 1 });
    using client = await server.connect();
    for (let i = 0; i < 30; i++) {
      const task = { id: `task-${i}-${"x".repeat(40)}`, wait: false };
      await client.ask({ op: "square", n: "世界".repeat(40), task });
    }
    await client.ask({ cmd: "wait", task_id: `task-29-${"x".repeat(40)}` });
    await using top = startTop(server, { size: [24, 80] });
    await top.shows("q quit");
    await top.shows("FAILED LATELY");
    for (const [rows, columns] of [[50, 160], [10, 40], [3, 20], [1, 5], [24, 80]] as const) {
      await top.resize(rows, columns);
      // What is drawn for this size fills it, from the first line to the last.
      await top.shows(/^sd t/);
      if (rows > 3) await top.shows(/\nq quit/);
      assertEquals(top.screen.lines.length, rows);
      assert(top.screen.lines.every((line) => line.length <= columns));
    }
    await top.type("q");
    await top.shows("terminal as before");
  },
});

Deno.test({
  ...onTerminal("sd top restores the terminal when a signal ends it"),
  fn: async () => {
    await using server = await TestServer.start({ workers: 1 });
    for (const signal of ["INT", "TERM", "HUP"]) {
      const { hostname, port } = server.address;
      await using top = PtyProcess.start(
        framed(`sh -c 'echo $$ >&2; exec "$@"' sh ${topCommand()}`),
        { env: { SD_SERVER: `${hostname}:${port}` } },
      );
      await top.shows("q quit");
      const [pid] = /\d+/.exec(top.text) ?? [];
      await new Deno.Command("kill", { args: [`-${signal}`, `${pid}`] }).output();
      await top.shows("exit=130");
      await top.shows("terminal as before");
      assertLeft(top);
    }
  },
});

Deno.test({
  ...onTerminal("sd top shows a lost connection, and goes on when the server is back"),
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      const first = await SdServe.start(["--workers", "1", "--data", folder]);
      const { port } = first.address;
      await using top = PtyProcess.start(framed(topCommand("--interval", "100ms")), {
        env: { SD_SERVER: first.server },
      });
      await top.shows(/in [\d,]+\/s/);
      await first.stop("SIGKILL");
      await top.shows("lost");
      await top.shows("trying again");
      await using _second = await SdServe.start(["--workers", "1", "--data", folder], { port });
      await top.shows("trying again", { isGone: true });
      await top.shows(/in [\d,]+\/s/);
      await top.type("q");
      await top.shows("exit=0");
      await top.shows("terminal as before");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  ...onTerminal("sd top restores the terminal before it reports a fatal error"),
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      const tokens = `${folder}/tokens`;
      await Deno.writeTextFile(tokens, "a-token-that-nobody-gave\n");
      const first = await SdServe.start(["--workers", "1"]);
      const { port } = first.address;
      await using top = PtyProcess.start(framed(topCommand("--interval", "100ms")), {
        env: { SD_SERVER: first.server },
      });
      await top.shows(/in [\d,]+\/s/);
      await first[Symbol.asyncDispose]();
      await using _second = await SdServe.start(["--token-file", tokens], { port });
      await top.shows("exit=4");
      await top.shows("terminal as before");
      assertStringIncludes(top.text, "SD_TOKEN");
      assertLeft(top);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  ...onTerminal("sd top without a server reports that, and does not change the terminal"),
  fn: async () => {
    await using top = PtyProcess.start(framed(topCommand("--server", "127.0.0.1:1")));
    await top.shows("cannot reach 127.0.0.1:1");
    await top.shows("exit=3");
    assert(!top.text.includes("\x1b[?1049h"));
  },
});

Deno.test("sd top in a pipe prints one snapshot, as text or as JSON", async () => {
  await using server = await TestServer.start({ workers: 1 });
  using client = await server.connect();
  await client.ask({ op: "sleep", ms: 60_000, task: { id: "long", wait: false } });
  while ((await client.ask({ cmd: "stats" })).tasks.running === 0);
  const { hostname, port } = server.address;
  const env = { SD_SERVER: `${hostname}:${port}` };
  const text = await runSd(["top"], env);
  assertEquals(text.code, 0);
  assertStringIncludes(text.stdout, "RUNNING\nID");
  assertStringIncludes(text.stdout, "long");
  assert(!text.stdout.includes("\x1b"));
  const { ok, data } = JSON.parse((await runSd(["top", "--json"], env)).stdout);
  assertEquals([ok, data.running[0].task_id, data.tasks.running], [true, "long", 1]);
  assertEquals(Object.keys(data.rates), ["submitted", "finished"]);
});
