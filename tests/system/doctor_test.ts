/** `sd doctor` finds what is wrong, says how to mend it, and ends by it; and what is well is well. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { USUAL_CONNECTIONS } from "../../client/commands/doctor/doctor_machine.ts";
import { DEFAULT_LIMITS } from "../../server/limits.ts";
import { runSd } from "../kit/sd_process.ts";
import { TestServer } from "../kit/test_server.ts";

const TOKEN = "a-token-of-more-than-16";

interface Check {
  name: string;
  verdict: "ok" | "warning" | "problem";
  message: string;
  cure?: string;
}

async function diagnose(args: string[], env: Record<string, string> = {}) {
  const { code, stdout } = await runSd(["doctor", "--json", ...args], env);
  const { ok, data, error, exit = 0 } = JSON.parse(stdout);
  assertEquals([ok, exit], [code === 0, code]);
  const checks: Check[] = data.checks;
  for (const check of checks) assertEquals(check.cure !== undefined, check.verdict !== "ok");
  return { code, error, checks: new Map(checks.map((check) => [check.name, check])) };
}

Deno.test("a healthy server passes all checks, with the source of its address", async () => {
  await using server = await TestServer.start({ workers: 2, tokens: [TOKEN] });
  const folder = await Deno.makeTempDir({ prefix: "sd-test-" });
  try {
    const env = {
      SD_SERVER: `127.0.0.1:${server.address.port}`,
      SD_TOKEN: TOKEN,
      SD_DATA: `${folder}/not/yet`,
    };
    const { code, checks } = await diagnose([], env);
    assertEquals(code, 0);
    const verdicts = [...checks.values()].filter(({ verdict }) => verdict === "problem");
    assertEquals(verdicts, []);
    assertStringIncludes(checks.get("server")?.message ?? "", "by SD_SERVER");
    assertStringIncludes(checks.get("token")?.message ?? "", "from SD_TOKEN");
    assertEquals(checks.get("clock")?.verdict, "ok");
    assertEquals(checks.get("workers")?.message, "2 in 1 pool");
    assertEquals(checks.get("engine")?.verdict, "warning");
    assertStringIncludes(checks.get("state")?.message ?? "", "not/yet");
    assertEquals([...Deno.readDirSync(folder)], []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("each problem has a cure, and the first sets the exit code", async () => {
  const gone = await diagnose(["--server", "127.0.0.1:1"]);
  assertEquals([gone.code, gone.error.code], [3, "unreachable"]);
  assertStringIncludes(gone.checks.get("reach")?.cure ?? "", "sd serve");

  await using server = await TestServer.start({ workers: 0, tokens: [TOKEN] });
  const at = ["--server", `127.0.0.1:${server.address.port}`];
  const secret = await diagnose(at);
  assertEquals([secret.code, secret.checks.get("reach")?.verdict], [4, "ok"]);
  assertStringIncludes(secret.checks.get("token")?.cure ?? "", "--token-file");

  const tls = await diagnose([...at, "--tls"]);
  assertEquals([tls.code, tls.checks.get("reach")?.verdict], [3, "problem"]);

  assertEquals((await diagnose(["--context", "nobody"])).checks.get("server")?.verdict, "problem");
  const file = await Deno.makeTempFile({ prefix: "sd-test-" });
  try {
    await Deno.writeTextFile(file, TOKEN);
    await Deno.chmod(file, 0o644);
    const open = await diagnose([...at, "--token-file", file]);
    assertEquals([open.code, open.checks.get("token")?.cure], [0, `chmod 600 ${file}`]);
    assertEquals(open.checks.get("workers")?.verdict, "warning");
    // No folder can be made below a file.
    const unwritable = await diagnose([...at, "--token", TOKEN], { SD_DATA: `${file}/data` });
    assertEquals([unwritable.code, unwritable.checks.get("state")?.verdict], [2, "problem"]);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("the text has a line for each check, the cure below it, and the count at the end", async () => {
  const { code, stdout, stderr } = await runSd(["doctor", "--server", "127.0.0.1:1"]);
  assertEquals(code, 3);
  assert(/^ok {7}sd {7}sd \d/m.test(stdout), stdout);
  assert(
    /^problem {2}reach {4}cannot reach .*\n {18}→ start a server with: sd serve$/m.test(stdout),
    stdout,
  );
  assertEquals(stderr, "sd: 1 problem\n    start a server with: sd serve\n");
});

Deno.test("sd doctor requires as many open files as a server needs", () => {
  assertEquals(USUAL_CONNECTIONS, DEFAULT_LIMITS.maxConnections);
});
