/**
 * `deno task compile`: the one executable. `./sd` for this machine, or with `--all` one for each target
 * under `dist/`. What `deno compile` needs of the network it fetches by itself; `DENORT_BIN` names a
 * runtime base that is there already.
 */

import { parseArgs } from "@std/cli/parse-args";
import {
  COMPILE_INCLUDES,
  ENTRY_PERMISSIONS,
  HEAP_FLAG,
  TASK_PERMISSIONS,
} from "../cli/pool/self_command.ts";

const TARGETS = [
  "x86_64-unknown-linux-gnu",
  "aarch64-unknown-linux-gnu",
  "x86_64-apple-darwin",
  "aarch64-apple-darwin",
  "x86_64-pc-windows-msvc",
];

const ROOT = new URL("../", import.meta.url);

/** Fetches what the executable imports, held against the lock file. */
async function fetchPackages(): Promise<void> {
  const done = await new Deno.Command(Deno.execPath(), { cwd: ROOT, args: ["cache", "main.ts"] })
    .output();
  Deno.stderr.writeSync(done.stderr);
  if (!done.success) Deno.exit(1);
}

async function compile(output: string, target: readonly string[]): Promise<void> {
  const { success } = await new Deno.Command(Deno.execPath(), {
    cwd: ROOT,
    args: [
      "compile",
      // Otherwise every package of the lock file is included, also the packages of tests and scripts: 24 MB more.
      "--no-lock",
      ...ENTRY_PERMISSIONS,
      ...TASK_PERMISSIONS,
      HEAP_FLAG,
      // It would be read as code from the shared temporary folder, where any user can put it.
      "--no-code-cache",
      ...COMPILE_INCLUDES.flatMap((path) => ["--include", path]),
      ...target,
      "--output",
      output,
      "main.ts",
    ],
  }).output().then((done) => {
    Deno.stderr.writeSync(done.stderr);
    return done;
  });
  if (!success) Deno.exit(1);
}

const args = parseArgs(Deno.args, { boolean: ["all"], string: ["output"] });
await fetchPackages();
if (args.all) {
  for (const target of TARGETS) {
    const end = target.includes("windows") ? ".exe" : "";
    await compile(`dist/sd-${target}${end}`, ["--target", target]);
  }
} else {
  const own = Deno.build.os === "windows" ? "sd.exe" : "sd";
  await compile(typeof args.output === "string" ? args.output : own, []);
}
