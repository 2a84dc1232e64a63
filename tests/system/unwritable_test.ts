/** Output that cannot be written: messages end nothing and change no exit code, and no result counts as written. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { deadline } from "@std/async/deadline";
import { delay } from "@std/async/delay";
import { selfCommand } from "../../cli/pool/self_command.ts";
import { type Client, connect } from "../../client/mod.ts";
import { ManyStage } from "../kit/many_stage.ts";
import { needing } from "../kit/needs.ts";
import { OwnCache } from "../kit/own_cache.ts";
import { hasPython } from "../kit/pty_process.ts";
import { SdServe } from "../kit/sd_process.ts";
import { TestServer } from "../kit/test_server.ts";

const PATIENCE_MS = 60_000;
const FULL = "/dev/full";
const onFull = needing(FULL, Deno.build.os === "linux");
const withPython = needing("python3", hasPython);

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs `sd args` in a shell, with `redirect` behind it. */
async function sh(
  args: readonly string[],
  redirect: string,
  { before = "", env = {} }: { before?: string; env?: Record<string, string> } = {},
): Promise<Ended> {
  const self = selfCommand(args);
  const command = new Deno.Command("sh", {
    args: ["-c", `${before} exec "$0" "$@" ${redirect}`, self.path, ...self.args],
    env: { NO_COLOR: "1", LC_ALL: "C", XDG_CONFIG_HOME: "/nowhere", ...env },
    stdin: "null",
  });
  const { code, stdout, stderr } = await deadline(command.output(), PATIENCE_MS);
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

function serverFlag({ address }: TestServer | SdServe): string {
  return `--server=${address.hostname}:${address.port}`;
}

Deno.test(onFull("messages that cannot be written change no exit code"), async () => {
  await using server = await TestServer.start({ workers: 1 });
  const at = serverFlag(server);
  const commands: [number, ...string[]][] = [
    [0, "submit", at, `{"op":"square","n":7}`],
    [1, "submit", at, `{"op":"square"}`],
    [2, "submit", at, "{"],
    [3, "status", "--server=127.0.0.1:1"],
    [5, "result", at, "nobody"],
    [7, "submit", at, `{"op":"nothing"}`],
  ];
  for (const redirect of [`2>${FULL}`, "2>&-"]) {
    for (const [code, ...args] of commands) {
      assertEquals((await sh(args, redirect)).code, code, `${args.join(" ")} ${redirect}`);
    }
  }
});

Deno.test(
  onFull("results that cannot be written fail each command, in text and in JSON"),
  async () => {
    await using server = await TestServer.start({ workers: 1 });
    const at = serverFlag(server);
    await sh(["submit", at, "--id", "done", "hello"], "");
    const commands: string[][] = [
      ["submit", at, "hello"],
      ["submit", at, "--detach", "hello"],
      ["result", at, "done"],
      ["wait", at, "done"],
      ["ls", at],
      ["status", at],
      ["ops", at],
      ["watch", at, "done"],
      ["export", at],
      ["top", at, "--once"],
      ["completions", "bash"],
      ["--help"],
    ];
    await Promise.all(commands.map(async (args) => {
      const { code, stderr } = await sh(args, `>${FULL}`);
      const line = args.join(" ");
      assertEquals(code, 74, `${line}: ${stderr}`);
      assertMatch(stderr, /^sd: cannot write to stdout: No space left on device/m, line);
      assert(!stderr.includes("    at "), `${line}: no stack`);
    }));
    for (const args of [["ls", at], ["status", at], ["watch", at, "done"], ["submit", at, "hi"]]) {
      const { code, stderr } = await sh([...args, "--json"], `>${FULL}`);
      assertEquals(code, 74, stderr);
      const { error, exit } = JSON.parse(stderr.trim().split("\n").at(-1) ?? "");
      assertEquals([error.code, exit], ["output_failed", 74]);
    }
    const { stderr } = await sh(["submit", at, "--id", "kept", "hello"], `>${FULL}`);
    assertStringIncludes(stderr, "print it again with: sd result kept");
  },
);

Deno.test("a closed stdout ends a command quietly", async () => {
  await using server = await TestServer.start({ workers: 1 });
  const at = serverFlag(server);
  for (const args of [["ls", at], ["ls", at, "--json"], ["export", at], ["status", at]]) {
    const { stderr } = await sh(args, "| true");
    assertEquals(stderr.replace(/^\[client\].*\n/m, ""), "", args.join(" "));
  }
});

Deno.test("results that could not be written are printed by --resume, each once and in whole lines", async () => {
  await using server = await TestServer.start({ workers: 1 });
  const long = "x".repeat(200);
  const lines = Array.from({ length: 2000 }, (_, i) => `{"op":"echo","data":"${i}${long}"}`);
  await using stage = await ManyStage.open(server.address, { lines });
  using cache = new OwnCache();
  // No file grows beyond 64 KiB, as if its disk were full.
  const self = selfCommand(["submit", "--server", stage.server, "--file", stage.file]);
  const limited = await new Deno.Command("sh", {
    args: [
      "-c",
      `trap "" XFSZ; ulimit -f 128; exec "$0" "$@" >> "$RESULTS"`,
      self.path,
      ...self.args,
    ],
    env: { ...cache.env, NO_COLOR: "1", RESULTS: stage.results },
    stdin: "null",
  }).output();
  const stderr = new TextDecoder().decode(limited.stderr);
  assertEquals(limited.code, 74, stderr);
  assertStringIncludes(stderr, `--file ${stage.file} --resume`);
  const first = stage.told().length;
  assert(first > 0 && first < 2000, `${first} lines before`);
  assert(Deno.readTextFileSync(stage.results).endsWith("}\n"), "the last line is whole");
  const again = await stage.submit("--resume");
  assertEquals(again.code, 0, again.stderr);
  assertStringIncludes(again.stderr, `${first.toLocaleString("en")} lines are done`);
  const told = stage.told().map(({ line }) => line);
  assertEquals([told.length, new Set(told).size], [2000, 2000]);
  assertEquals(stage.hasJournal(), false);
});

Deno.test(
  onFull("results that a full device refused are printed by --resume in another output"),
  async () => {
    await using server = await TestServer.start({ workers: 1 });
    const lines = Array.from({ length: 50 }, (_, i) => `{"op":"square","n":${i + 1}}`);
    await using stage = await ManyStage.open(server.address, { lines });
    const args = ["submit", "--server", stage.server, "--file", stage.file];
    assertEquals((await sh(args, `>${FULL}`)).code, 74);
    assertEquals((await stage.submit("--resume")).code, 0);
    assertEquals(
      stage.told().map(({ line }) => line).sort((a, b) => a - b),
      lines.map((_, i) => i + 1),
    );
  },
);

Deno.test(onFull("a backup on a full disk leaves no file"), async () => {
  await using server = await SdServe.start(["--workers", "0"]);
  const folder = await Deno.makeTempDir({ prefix: "sd-test-" });
  try {
    const args = ["backup", serverFlag(server), `${folder}/copy.db`];
    using cache = new OwnCache();
    const before = `trap "" XFSZ; ulimit -f 4;`;
    const { code, stderr } = await sh(args, "", { before, env: cache.env });
    assertEquals(code, 74, stderr);
    assertStringIncludes(stderr, "cannot write");
    assertEquals([...Deno.readDirSync(folder)], []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Runs `sd serve` in a shell after `before`, with `redirect`, and then `body` with a client; its exit code. */
async function serveSilently(
  { before = "", redirect = "", stderr }: {
    before?: string;
    redirect?: string;
    stderr: "null" | "piped";
  },
  body: (client: Client, pid: number) => Promise<void>,
): Promise<number> {
  const folder = await Deno.makeTempDir({ prefix: "sd-test-" });
  // A server that cannot write its log cannot report its port.
  const { port } = freePort();
  const self = selfCommand(["serve", "--port", String(port), "--workers", "1"]);
  const server = new Deno.Command("sh", {
    args: ["-c", `${before} exec "$0" "$@" ${redirect}`, self.path, ...self.args],
    env: { SD_DATA: folder, XDG_STATE_HOME: folder },
    stdin: "null",
    stdout: "null",
    stderr,
  }).spawn();
  try {
    await using client = await patiently(() => connect({ port }));
    await body(client, server.pid);
    server.kill("SIGTERM");
    return (await deadline(server.status, PATIENCE_MS)).code;
  } catch (error) {
    server.kill("SIGKILL");
    throw error;
  } finally {
    await server.status;
    if (stderr === "piped") await server.stderr.cancel();
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test(
  onFull(
    "a server whose log cannot be written serves, replaces a worker process, and stops with 0",
  ),
  async () => {
    const code = await serveSilently({ redirect: `2>${FULL}`, stderr: "null" }, async (sd, pid) => {
      assertEquals(await sd.run("square", { n: 7 }), 49);
      await new Deno.Command("pkill", { args: ["-9", "-P", String(pid)] }).output();
      assertEquals(await sd.run("square", { n: 8 }), 64);
    });
    assertEquals(code, 0);
  },
);

Deno.test(onFull("a server whose log is not read serves, and stops with 0"), async () => {
  // Fills the pipe first, so that the first line of the log does not fit.
  const before = "timeout 1 head -c 4000000 /dev/zero >&2;";
  const code = await serveSilently({ before, stderr: "piped" }, async (sd) => {
    assertEquals(await sd.run("square", { n: 7 }), 49);
  });
  assertEquals(code, 0);
});

function freePort(): { port: number } {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return { port: listener.addr.port };
}

async function patiently<T>(attempt: () => Promise<T>): Promise<T> {
  for (const until = performance.now() + PATIENCE_MS;; await delay(50)) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > until) throw error;
    }
  }
}

/** Runs its arguments with a stdout that does not block, and reads it slowly. */
const SLOW_READER = `
import fcntl, os, subprocess, sys, time
r, w = os.pipe()
fcntl.fcntl(w, fcntl.F_SETFL, fcntl.fcntl(w, fcntl.F_GETFL) | os.O_NONBLOCK)
child = subprocess.Popen(sys.argv[1:], stdout=w, stdin=subprocess.DEVNULL)
os.close(w)
size = 0
while data := os.read(r, 30000):
    size += len(data)
    os.write(1, data)
    time.sleep(0.002)
    if size > 20_000_000: child.kill()
sys.exit(child.wait() & 255)
`;

Deno.test(withPython("a stdout that does not block gets each line once"), async () => {
  await using server = await TestServer.start({ workers: 1 });
  const data = "ñ".repeat(3000);
  const lines = Array.from(
    { length: 300 },
    (_, i) => `{"op":"echo","data":"${i}${i % 3 ? data : ""}"}`,
  );
  await using stage = await ManyStage.open(server.address, { lines });
  const self = selfCommand(["submit", "--server", stage.server, "--file", stage.file, "--ordered"]);
  const command = new Deno.Command("python3", {
    args: ["-c", SLOW_READER, self.path, ...self.args],
    stdin: "null",
    stderr: "null",
  });
  const { code, stdout } = await deadline(command.output(), PATIENCE_MS);
  const told = new TextDecoder().decode(stdout).trimEnd().split("\n").map((line) =>
    JSON.parse(line)
  );
  assertEquals(code, 0);
  assertEquals(told.map(({ line }) => line), lines.map((_, i) => i + 1));
  assertEquals(told[1].result, `1${data}`);
});
