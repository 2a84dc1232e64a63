/**
 * The compiled executable, alone in a folder of its own: serve, submit, stop. `SD_BINARY` names it. On
 * a person's machine these tests say that they were skipped when it does not; in CI they fail.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { VERSION } from "../../cli/version.ts";
import { isInstalled, needing } from "../kit/needs.ts";
import { BINARY, Installed, processesOf, serve, untilNoneLeft, withBinary } from "./installed.ts";

Deno.test({
  ...withBinary(
    "the executable alone serves, submits, and leaves nothing behind after a stop",
  ),
  async fn() {
    assert(BINARY, "SD_BINARY must name the executable in CI");
    using sd = new Installed(BINARY);
    const { child, talk, lines, server } = await serve(sd);
    const env = { SD_SERVER: server };
    try {
      assertMatch(lines[0] ?? "", /^\[server\] listening on 127\.0\.0\.1:\d+$/);
      assertEquals(lines.slice(1, 3), ["[server] 2 workers started", "[dispatcher] started"]);
      const square = await sd.run(["submit", '{"op":"square","n":7}'], env);
      assertEquals([square.code, square.stdout], [0, "49\n"]);
      assertMatch(
        square.stderr,
        /^\[client\] task queued id=\S+\n\[client\] waiting for the result…\n\[client\] result received\n$/,
      );
      assertEquals((await sd.run(["submit", '<"op":"square","n":7>'], env)).stdout, "49\n");
      assertEquals((await sd.run(["submit", "¡hola!"], env)).stdout, "¡hola!\n");
      assertEquals((await sd.run(["submit", '{"op":"square"}'], env)).code, 1);
      assertEquals((await sd.run(["submit", '{"op":"nothing"}'], env)).code, 7);
      assertEquals((await sd.run(["status", "--json"], env)).code, 0);
      assertMatch((await sd.run(["--version"])).stdout, new RegExp(`^sd ${VERSION} `));
      const spin = ["submit", '{"op":"hash","data":"x","rounds":1e12}', "--run-timeout", "300ms"];
      const spun = await sd.run(spin, env);
      assertEquals([spun.code, spun.stdout], [1, ""]);
      assertMatch(spun.stderr, /timeout/);
      assertEquals((await sd.run(["submit", '{"op":"square","n":8}'], env)).stdout, "64\n");
    } finally {
      child.kill("SIGTERM");
    }
    assertEquals((await child.status).code, 0);
    await talk;
    await untilNoneLeft(sd.folder);
    assertEquals((await sd.run(["submit", "x"], env)).code, 3);
  },
});

Deno.test({
  ...withBinary("no process is left behind when the server is killed"),
  async fn() {
    assert(BINARY, "SD_BINARY must name the executable in CI");
    using sd = new Installed(BINARY);
    const { child, talk, server } = await serve(sd);
    // A task that spins, so that the pool's threads are as busy as they can be.
    const spinning = sd.run(
      ["submit", '{"op":"hash","data":"x","rounds":1e12}', "--detach"],
      { SD_SERVER: server },
    );
    assertEquals((await spinning).code, 0);
    assert((await processesOf(sd.folder)).length >= 2);
    child.kill("SIGKILL");
    await child.status;
    await talk;
    await untilNoneLeft(sd.folder);
  },
});

Deno.test({
  ...withBinary("sd doctor leaves out what other programs know where there is no PATH"),
  async fn() {
    assert(BINARY, "SD_BINARY must name the executable in CI");
    using sd = new Installed(BINARY);
    const { code, stdout } = await new Deno.Command(sd.path, {
      args: ["doctor", "--json", "--server", "127.0.0.1:1"],
      clearEnv: true,
      env: { HOME: sd.folder },
    }).output();
    assertEquals(code, 3, new TextDecoder().decode(stdout));
  },
});

/** Modules beside the executable, and the error of `sd serve` for each that it cannot load. */
const MODULES: Record<string, string> = {
  "tasks.js": `
    import { createHash } from "node:crypto";
    import { times } from "./lib/times.js";
    import data from "./data.json" with { type: "json" };
    export const triple = ({ n }) => times(n, data.three);
    export const sum = ({ text }) => createHash("sha256").update(text).digest("hex").slice(0, 8);
    export const peek = () => Deno.readTextFileSync("/etc/hostname");
    export const pull = async ({ path }) => (await import(path)).default;
    export const pull_alone = (args) => pull(args);
    pull_alone.options = { isolate: "process" };
  `,
  "lib/times.js": "export const times = (n, by) => n * by;",
  "data.json": '{"three":3}',
  "typed.ts": "export function typed({ n }: { n: number }): number { return n; }",
  "npm.js": 'import { z } from "npm:zod@4";\nexport const f = () => z;',
  "jsr.js": 'import { assert } from "jsr:@std/assert@1";\nexport const f = () => assert;',
  "bare.js": 'import { z } from "zod";\nexport const f = () => z;',
};

function writeModules(sd: Installed): void {
  Deno.mkdirSync(`${sd.folder}/lib`);
  for (const [name, text] of Object.entries(MODULES)) {
    Deno.writeTextFileSync(`${sd.folder}/${name}`, text);
  }
}

Deno.test({
  ...withBinary(
    "the executable runs task files with what they import from beside them, in the sandbox",
  ),
  async fn() {
    assert(BINARY, "SD_BINARY must name the executable in CI");
    using sd = new Installed(BINARY);
    writeModules(sd);
    const { child, talk, server } = await serve(sd, ["tasks.js"]);
    const env = { SD_SERVER: server };
    assertEquals((await sd.run(["submit", '{"op":"triple","n":7}'], env)).stdout, "21\n");
    assertEquals(
      (await sd.run(["submit", '{"op":"sum","text":"abc"}'], env)).stdout,
      "ba7816bf\n",
    );
    assertMatch((await sd.run(["submit", '{"op":"peek"}'], env)).stderr, /Requires read access/);
    // For an import of these the runtime asks no permission.
    Deno.writeTextFileSync(`${sd.folder}/secret.json`, '{"secret":1}');
    Deno.writeTextFileSync(`${sd.folder}/secret.js`, "export default 1;");
    for (const op of Deno.build.os === "linux" ? ["pull", "pull_alone"] : []) {
      const pull = (path: string) => sd.run(["submit", JSON.stringify({ op, path })], env);
      assertEquals((await pull(`${sd.folder}/data.json`)).stdout, '{"three":3}\n');
      for (const name of ["secret.json", "secret.js"]) {
        const { code, stderr } = await pull(`${sd.folder}/${name}`);
        assertEquals(code, 1, `${op} has read ${name}`);
        assertMatch(stderr, /PermissionDenied|Permission denied/);
      }
    }
    child.kill("SIGTERM");
    assertEquals((await child.status).code, 0);
    await talk;
  },
});

Deno.test({
  ...withBinary("the executable says of a task file that it cannot take what to do with it"),
  async fn() {
    assert(BINARY, "SD_BINARY must name the executable in CI");
    using sd = new Installed(BINARY);
    writeModules(sd);
    for (const name of ["npm.js", "jsr.js", "bare.js"]) {
      const { code, stderr } = await sd.run(["serve", "--port", "0", name]);
      assertEquals(code, 2);
      assertMatch(
        stderr,
        new RegExp(`^sd: ${name}.*holds no packages: bundle the file first`, "m"),
      );
    }
    if (await takesTypeScript(sd)) {
      const { child, talk, server } = await serve(sd, ["typed.ts"]);
      const typed = await sd.run(["submit", '{"op":"typed","n":7}'], { SD_SERVER: server });
      assertEquals(typed.stdout, "7\n");
      child.kill("SIGTERM");
      await child.status;
      await talk;
    } else {
      const { code, stderr } = await sd.run(["serve", "--port", "0", "typed.ts"]);
      assertEquals(code, 2);
      assertMatch(stderr, /^sd: typed\.ts:1: .*takes no TypeScript from outside/m);
    }
  },
});

Deno.test({
  ...withBinary("what sd init of the executable writes, it runs"),
  async fn() {
    assert(BINARY, "SD_BINARY must name the executable in CI");
    using sd = new Installed(BINARY);
    const { code, stdout } = await sd.run(["init"]);
    const name = await takesTypeScript(sd) ? "tasks.ts" : "tasks.js";
    assertEquals([code, stdout], [0, `${name}\nsd.d.ts\n`]);
    const { child, talk, server } = await serve(sd, [name]);
    const greet = await sd.run(["submit", '{"op":"greet","name":"Ada"}'], { SD_SERVER: server });
    assertEquals(greet.stdout, "Hello, Ada!\n");
    child.kill("SIGTERM");
    await child.status;
    await talk;
    assertEquals((await sd.run(["init"])).code, 0);
    Deno.writeTextFileSync(`${sd.folder}/${name}`, "export const mine = () => 1;");
    assertEquals((await sd.run(["init"])).code, 2);
  },
});

/** By the Deno that it says it runs on: 2.8.2 is the first. */
async function takesTypeScript(sd: Installed): Promise<boolean> {
  const { stdout } = await sd.run(["--version"]);
  const [major = 0, minor = 0, patch = 0] =
    /deno ([\d.]+)/.exec(stdout)?.[1]?.split(".").map(Number) ??
      [];
  return major > 2 || (major === 2 && (minor > 8 || (minor === 8 && patch >= 2)));
}

/** How the file of the executable goes while it runs; each `sd upgrade` of a package manager is one of these. */
const REPLACEMENTS: [how: string, replace: (path: string) => void][] = [
  ["replaced by a rename", (path) => {
    // Nothing that is started from the new file can be a worker process of this server.
    Deno.writeTextFileSync(`${path}.new`, "#!/bin/sh\nexit 9\n", { mode: 0o755 });
    Deno.renameSync(`${path}.new`, path);
  }],
  ["removed", (path) => Deno.removeSync(path)],
];

for (const [how, replace] of REPLACEMENTS) {
  Deno.test({
    ...withBinary(`the executable is ${how} while it serves: its workers are replaced, and say so`),
    async fn() {
      assert(BINARY, "SD_BINARY must name the executable in CI");
      using sd = new Installed(BINARY);
      using other = new Installed(BINARY);
      writeModules(sd);
      const { child, talk, lines, server } = await serve(sd, ["tasks.js"]);
      const env = { SD_SERVER: server };
      const submit = (payload: string, ...flags: string[]) =>
        other.run(["submit", payload, ...flags], env);
      const long = submit('{"op":"sleep","ms":1500}');
      const before = await workerProcesses(sd.folder);
      assert(before.length >= 1);
      replace(sd.path);
      for (let round = 0; round < 2; round++) {
        for (const pid of await workerProcesses(sd.folder)) Deno.kill(pid, "SIGKILL");
        const { code, stdout } = await submit(`{"op":"square","n":${round + 7}}`);
        assertEquals([code, stdout], [0, `${(round + 7) ** 2}\n`]);
        // A process for a single run, of which the first one was started before.
        const alone = await submit(`{"op":"pull_alone","path":"${sd.folder}/data.json"}`);
        assertEquals(alone.stdout, '{"three":3}\n', alone.stderr);
      }
      assertEquals((await long).stdout, "1500\n");
      await said(lines, "was replaced or removed");
      assertMatch(lines.join("\n"), /copy of what runs. For the new one: restart sd serve/);
      const doctor = await other.run(["doctor"], env);
      assertMatch(doctor.stdout + doctor.stderr, /was replaced or removed/);
      assertMatch(doctor.stdout + doctor.stderr, /restart sd serve/);
      child.kill("SIGTERM");
      assertEquals((await child.status).code, 0);
      await talk;
      await untilNoneLeft(sd.folder);
      assertEquals(leftOver(sd.folder), [], "no copy is left");
    },
  });
}

Deno.test({
  ...withBinary("an executable that was removed, and cannot be copied, says at once what to do"),
  async fn() {
    assert(BINARY, "SD_BINARY must name the executable in CI");
    using sd = new Installed(BINARY);
    using other = new Installed(BINARY);
    const tmp = `${sd.folder}/no-folder`;
    const { child, talk, lines, server } = await serve(sd, ["--engine", "memory:"], {
      XDG_STATE_HOME: "/proc/nothing",
      TMPDIR: tmp,
    });
    const env = { SD_SERVER: server };
    Deno.removeSync(sd.path);
    await said(lines, "error: no worker process can be started");
    assertMatch(lines.join("\n"), /To mend it: restart sd serve/);
    const doctor = await other.run(["doctor"], env);
    assertMatch(doctor.stdout + doctor.stderr, /no worker process can be started/);
    // Once there is a folder, work goes on.
    Deno.mkdirSync(tmp);
    for (const pid of await workerProcesses(sd.folder)) Deno.kill(pid, "SIGKILL");
    const { stdout } = await other.run(["submit", '{"op":"square","n":9}'], env);
    assertEquals(stdout, "81\n");
    await said(lines, "worker processes can be started again");
    child.kill("SIGTERM");
    await child.status;
    await talk;
    await untilNoneLeft(sd.folder);
  },
});

const withStrace = needing(
  "SD_BINARY and strace",
  BINARY !== undefined && await isInstalled("strace"),
);

Deno.test({
  ...withStrace("the executable neither reads nor writes code in the shared temporary folder"),
  async fn() {
    assert(BINARY, "SD_BINARY must name the executable in CI");
    using sd = new Installed(BINARY);
    const trace = `${sd.folder}/trace`;
    const tmp = `${sd.folder}/shared`;
    Deno.mkdirSync(tmp);
    const { code } = await new Deno.Command("strace", {
      args: ["-f", "-e", "trace=%file", "-o", trace, sd.path, "submit", "x"],
      env: { SD_SERVER: "127.0.0.1:1", HOME: sd.folder, TMPDIR: tmp },
      stderr: "null",
    }).output();
    assertEquals(code, 3, "it ran to its end: there is no such server");
    const touched = Deno.readTextFileSync(trace).split("\n").filter((line) => line.includes(tmp));
    assertEquals(touched, []);
    assertEquals([...Deno.readDirSync(tmp)], []);
  },
});

/** Worker processes of the executable in `folder`, or of copies of it there. */
async function workerProcesses(folder: string): Promise<number[]> {
  const { stdout } = await new Deno.Command("ps", { args: ["-eo", "pid=,args="] }).output();
  return new TextDecoder().decode(stdout).split("\n")
    .map((line) => /^\s*(\d+) (\S+) work --pool$/.exec(line))
    .filter((match) => match?.[2]?.startsWith(folder))
    .map((match) => Number(match?.[1]));
}

async function said(lines: readonly string[], text: string): Promise<void> {
  const end = Date.now() + 60_000;
  while (!lines.some((line) => line.includes(text))) {
    assert(Date.now() < end, `it never said "${text}": ${lines.join("\n")}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Copies of the executable under `folder`. */
function leftOver(folder: string): string[] {
  const found: string[] = [];
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    if (name.startsWith("sd-executable-")) found.push(name);
    else if (isDirectory) found.push(...leftOver(`${folder}/${name}`));
  }
  return found;
}
