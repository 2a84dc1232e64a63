/** The contract of every command with programs: one envelope, and one exit code for each kind of end. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { AnyCode } from "../../net/client_error.ts";
import { exitCodeOf, isKnownCode } from "../../cli/exit.ts";
import { GROUPS, main } from "../../main.ts";
import { captureOutput } from "../kit/captured_output.ts";
import { runSd, SdServe } from "../kit/sd_process.ts";
import { TaskFolder } from "../kit/task_folder.ts";
import { TestServer } from "../kit/test_server.ts";

const COMMANDS = new Map(GROUPS.flatMap(([, entries]) => Object.entries(entries)));
/** These run until they are stopped, and print no result. */
const RUNNING_ON = ["serve", "work"];
/** These print records as they come, and an envelope only for an error. */
const STREAMS = ["export", "ls", "watch"];
const NOBODY = "127.0.0.1:1";
const TOKEN = "a-token-of-more-than-16";

type Outcome = AnyCode | "ok";

interface Envelope {
  ok: boolean;
  data?: unknown;
  error?: { code: string; message: string; hint?: string };
  exit?: number;
}

/** Runs `argv` with and without --json, and checks the rules that hold for every command. */
async function run(argv: readonly string[], outcome: Outcome): Promise<void> {
  const line = `sd ${argv.join(" ")}`;
  const exit = outcome === "ok" ? 0 : exitCodeOf(outcome);
  const plain = await captureOutput(() => main(argv));
  assertEquals(plain.value, exit, `${line}: ${plain.stderr}`);
  if (outcome !== "ok") {
    // A cure stands on a line of its own.
    const last = plain.stderr.trimEnd().replace(/\n {4}\S.*$/, "").split("\n").at(-1) ?? "";
    assert(/^(sd:|\[client\]) ./.test(last), `${line} says: ${last}`);
  }
  const json = await captureOutput(() => main([...argv, "--json"]));
  assertEquals(json.value, exit, `${line} --json: ${json.stdout}${json.stderr}`);
  if (outcome === "ok" && STREAMS.includes(argv[0] ?? "")) return;
  const [last = ""] = json.stdout.trimEnd().split("\n").slice(-1);
  checkEnvelope(JSON.parse(last) as Envelope, { line, outcome, exit });
}

function checkEnvelope(
  envelope: Envelope,
  { line, outcome, exit }: { line: string; outcome: Outcome; exit: number },
): void {
  const { ok, error } = envelope;
  assertEquals(ok, outcome === "ok", line);
  if (ok) return assertEquals(Object.keys(envelope), ["ok", "data"], line);
  assertEquals([error?.code, envelope.exit], [outcome, exit], line);
  assert(isKnownCode(error?.code), line);
  assert(error.message.length > 0 && !error.message.includes("\n"), line);
  assert(error.hint === undefined || error.hint.length > 0, line);
}

/** A valid call of each command. */
const CALLS: Record<string, string[]> = {
  submit: ["hello"],
  wait: ["a"],
  result: ["a"],
  cancel: ["a"],
  retry: ["a"],
  why: ["a"],
  logs: ["a"],
  pause: ["square"],
  resume: ["square"],
  bench: ["--count", "10"],
  watch: ["a"],
  completions: ["bash"],
};

Deno.test("a wrong flag ends every command with 2 and a hint", async () => {
  for (const name of COMMANDS.keys()) await run([name, "--no-such-flag"], "usage");
});

Deno.test("flags that exclude each other are refused; flags without effect are reported", async () => {
  const clashes = [
    ["status", "--token", "a", "--token-file", "b"],
    ["status", "--token", " "],
    ["bench", "--op", "square", "--ms", "5"],
    ["bench", "--rounds", "5"],
    ["context", "ls", "--tls"],
    ["context", "use", "default", "--server", "h:1"],
    ["submit", "--timeout", "5", "hello"],
  ];
  for (const args of clashes) await run(args, "usage");
  const blank = await runSd(["serve", "--port", "0"], { SD_TOKEN: " " });
  assertEquals(blank.code, 2);
  assertStringIncludes(blank.stderr, "SD_TOKEN holds no token");
  await using idle = await SdServe.start(["--watch", "--engine", "memory:", "--data", "/nowhere"]);
  await using without = await SdServe.start(["--watch", "--workers", "0"]);
  const talk = [...idle.lines, ...without.lines].join("\n");
  for (const said of ["--watch has nothing to watch", "--data is for", "with --workers 0"]) {
    assertStringIncludes(talk, said);
  }
});

Deno.test("an error in the flags is reported in the format of --log-format", async () => {
  for (const flags of [["--log-format", "json"], ["--log-format=json"]]) {
    for (const wrong of [["--bogus"], ["--port", "99999"], ["--grace", "5"]]) {
      const { code, stdout, stderr } = await runSd(["serve", ...wrong, ...flags]);
      assertEquals([code, stdout], [2, ""]);
      const { level, message } = JSON.parse(stderr);
      assertEquals([level, message.includes("--")], ["error", true]);
    }
  }
  const { value, stdout } = await captureOutput(() => main(["--json"]));
  assertEquals([value, JSON.parse(stdout).error.code], [2, "usage"]);
});

Deno.test("too many arguments end every command with a limit with 2", async () => {
  for (const [name, { load }] of COMMANDS) {
    const { maxArgs, minArgs = 0 } = await load();
    const most = maxArgs ?? minArgs;
    if (most === Infinity) continue;
    await run([name, ...Array.from({ length: most + 1 }, (_, i) => `x${i}`)], "usage");
  }
});

/** The commands that are clients of a server. */
async function clientCommands(): Promise<string[][]> {
  const all = await Promise.all([...COMMANDS].map(async ([name, { load }]) => {
    const { flags } = await load();
    return "server" in flags && "token" in flags ? [[name, ...CALLS[name] ?? []]] : [];
  }));
  return all.flat();
}

Deno.test("every client command ends with 3 without a server", async () => {
  for (const call of await clientCommands()) {
    // They check their files first.
    if (call[0] === "backup" || call[0] === "import") continue;
    await run([...call, "--server", NOBODY], "unreachable");
  }
});

Deno.test("every client command ends with 4 if the token is missing or wrong", async () => {
  await using server = await TestServer.start({ workers: 1, tokens: [TOKEN] });
  const at = ["--server", `127.0.0.1:${server.address.port}`];
  for (const call of await clientCommands()) {
    if (call[0] === "backup" || call[0] === "import") continue;
    await run([...call, ...at], "unauthorized");
    await run([...call, ...at, "--token", "another-token-of-16"], "unauthorized");
  }
  await run(["status", ...at, "--token", TOKEN], "ok");
  await run(["doctor", ...at, "--token", TOKEN], "ok");
});

Deno.test("each end of a command has the exit code of the table", async () => {
  await using server = await TestServer.start({ workers: 1 });
  const at = ["--server", `127.0.0.1:${server.address.port}`];
  const later = ["--detach", "--delay", "1h"];
  const steps: [Outcome, ...string[]][] = [
    ["ok", "submit", `{"op":"square","n":7}`],
    ["task_error", "submit", `{"op":"square"}`],
    ["unknown_op", "submit", `{"op":"nothing"}`],
    ["usage", "submit", "{"],
    ["ok", "submit", ...later, "--id", "a", "hello"],
    ["conflict", "submit", ...later, "--id", "a", "other"],
    ["timed_out", "submit", "--timeout", "2s", "--delay", "1h", "hello"],
    ["not_final", "result", "a"],
    ["timed_out", "wait", "--timeout", "10ms", "a"],
    ["ok", "why", "a"],
    ["ok", "logs", "a"],
    ["ok", "ls"],
    ["ok", "status"],
    ["ok", "top"],
    ["ok", "ops"],
    ["unknown_op", "ops", "nothing"],
    ["ok", "cron"],
    ["not_found", "cron", "rm", "nobody"],
    ["conflict", "retry", "a"],
    ["ok", "cancel", "a"],
    ["cancelled", "result", "a"],
    ["cancelled", "wait", "a"],
    ["ok", "pause", "echo"],
    ["ok", "resume", "echo"],
    ["usage", "backup", "/nowhere/copy.db"],
    ["ok", "export"],
    ["ok", "import", "/dev/null"],
    ["usage", "import", "/nowhere/records"],
    ["ok", "bench", "--count", "10", "--connections", "1"],
    ["ok", "doctor"],
  ];
  for (const id of ["result", "wait", "cancel", "retry", "why", "logs", "watch"]) {
    steps.push(["not_found", id, "nobody"]);
  }
  for (const [outcome, ...argv] of steps) await run([...argv, ...at], outcome);
  using folder = new TaskFolder();
  await run(["init", folder.path], "ok");
  folder.write("tasks.ts", "// mine");
  await run(["init", folder.path], "usage");
  await run(["completions", "fish"], "ok");
  await run(["completions", "tcsh"], "usage");
  await withConfigFolder(async () => {
    await run(["context", "ls"], "ok");
    await run(["context", "use", "nobody"], "usage");
    await run(["context", "add", "a", "--server", "a:1"], "ok");
    await run(["context", "add", "a", "--server", "b:1"], "usage");
    await run(["context", "show", "a"], "ok");
  });
  const tried = new Set([...steps.map(([, name]) => name), "context", "completions", "init"]);
  const untried = [...COMMANDS.keys()].filter((name) => !tried.has(name));
  assertEquals(untried.filter((name) => !RUNNING_ON.includes(name)), []);
});

/** Contexts of this test alone, not those of the user who runs it. */
async function withConfigFolder(use: () => Promise<void>): Promise<void> {
  const before = Deno.env.get("XDG_CONFIG_HOME");
  const folder = await Deno.makeTempDir({ prefix: "sd-test-" });
  Deno.env.set("XDG_CONFIG_HOME", folder);
  try {
    await use();
  } finally {
    if (before === undefined) Deno.env.delete("XDG_CONFIG_HOME");
    else Deno.env.set("XDG_CONFIG_HOME", before);
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("an option that was given as a flag is refused with the name of the flag", async () => {
  await using server = await TestServer.start({ workers: 1 });
  const at = `--server=${server.address.hostname}:${server.address.port}`;
  for (
    const [args, said] of [
      [["--limit", "2"], "give --key as well"],
      [["--at", "2027-02-30T00:00:00Z"], "sd: --at is a time"],
      [["--catch-up", "all"], "sd: --catch-up is for recurring tasks"],
    ] as const
  ) {
    const { value, stderr } = await captureOutput(() => main(["submit", at, ...args, "hello"]));
    assertEquals(value, 2);
    assertStringIncludes(stderr, said);
  }
  const typed = `{"op":"echo","task":{"limit":2}}`;
  const { stderr } = await captureOutput(() => main(["submit", at, typed]));
  assertStringIncludes(stderr, "give task.key as well");
});
