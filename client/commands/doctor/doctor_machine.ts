/** The checks of `sd doctor` on this machine: the executable, and what `sd serve` needs here. Also the form of a check. */

import { NO_HOME, NO_HOME_CURE, stateDirIfAny } from "../../../cli/state_dir.ts";
import { VERSION } from "../../../cli/version.ts";
import type { AnyCode } from "../../../net/client_error.ts";
import { withCommas } from "../base/table.ts";

export type Verdict = "ok" | "warning" | "problem";

/** One check. `--json` prints all of it but `code`. */
export interface Check {
  /** The subject of the check, in one word. */
  readonly name: string;
  readonly verdict: Verdict;
  readonly message: string;
  /** The cure; present unless the verdict is ok. */
  readonly cure?: string;
  /** The error code of a problem, which sets the exit code. */
  readonly code?: AnyCode;
}

export function ok(name: string, message: string): Check {
  return { name, verdict: "ok", message };
}

export function warning(name: string, { message, cure }: Ailment): Check {
  return { name, verdict: "warning", message, cure };
}

export function problem(name: string, { message, cure, code }: Ailment & { code: AnyCode }): Check {
  return { name, verdict: "problem", message, cure, code };
}

interface Ailment {
  readonly message: string;
  readonly cure: string;
}

/** The oldest Deno that the tests run on. */
const OLDEST_DENO = [2, 6] as const;
/** Default of `--max-connections` of `sd serve`; each connection is an open file. */
export const USUAL_CONNECTIONS = 10_000;
const MIB = 1024 * 1024;
/** Free space below which there is a warning, and a problem. */
const LITTLE_ROOM_MIB = 1024;
const NO_ROOM_MIB = 64;

export function checkExecutable(): Check {
  const { deno } = Deno.version;
  const [major = 0, minor = 0] = deno.split(".").map(Number);
  const how = Deno.build.standalone ? "compiled" : "from source";
  const text = `sd ${VERSION}, ${how}, on Deno ${deno}, ${Deno.build.target}`;
  const [oldMajor, oldMinor] = OLDEST_DENO;
  if (major > oldMajor || (major === oldMajor && minor >= oldMinor)) return ok("sd", text);
  return warning("sd", {
    message: `${text}; it is tested on Deno ${OLDEST_DENO.join(".")} and later`,
    cure: "run it on a newer Deno",
  });
}

/** Checks the needs of `sd serve` for this user. */
export async function checkMachine(): Promise<Check[]> {
  const folder = Deno.env.get("SD_DATA") || stateDirIfAny();
  const checks: (Check | undefined)[] = folder === undefined
    ? [
      problem("state", {
        code: "usage",
        message: `there is no state directory: ${NO_HOME}`,
        cure: NO_HOME_CURE,
      }),
    ]
    : [checkFolder(folder), await checkDisk(folder)];
  checks.push(await checkFiles());
  return checks.filter((check) => check !== undefined);
}

/** Checks that a file can be made in `folder`, by making one. */
function checkFolder(folder: string): Check {
  const there = existingFolder(folder);
  try {
    Deno.removeSync(Deno.makeTempFileSync({ dir: there, prefix: ".sd-doctor-" }));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return problem("state", {
      code: "usage",
      message: `cannot write in ${there}, the folder for the tasks of sd serve: ${reason}`,
      cure: "change its owner, or name another folder with --data DIR or SD_DATA",
    });
  }
  return ok("state", there === folder ? folder : `${folder}, which sd serve will make`);
}

/** `folder` or the nearest folder above it that exists. */
function existingFolder(folder: string): string {
  let path = folder;
  for (;;) {
    try {
      if (Deno.statSync(path).isDirectory) return path;
    } catch (error) {
      // `checkFolder` reports it when it makes a file.
      if (!(error instanceof Deno.errors.NotFound)) return path;
    }
    const above = path.replace(/[/\\]+[^/\\]*[/\\]*$/, "");
    if (above === path || above === "") return path.startsWith("/") ? "/" : ".";
    path = above;
  }
}

/** Checks the free space; nothing if the system does not report it. */
async function checkDisk(folder: string): Promise<Check | undefined> {
  const path = existingFolder(folder);
  const lines = (await outputOf("df", ["-Pk", path]))?.trim().split("\n") ?? [];
  const kib = Number(/\s(\d+)\s+\d+%\s/.exec(lines.at(-1) ?? "")?.[1]);
  if (Number.isNaN(kib)) return undefined;
  const mib = Math.floor(kib * 1024 / MIB);
  const text = `${withCommas(mib)} MiB are free at ${path}`;
  const cure = "free space, or name a folder on another disk with --data DIR or SD_DATA";
  if (mib < NO_ROOM_MIB) return problem("disk", { code: "storage_full", message: text, cure });
  return mib < LITTLE_ROOM_MIB ? warning("disk", { message: text, cure }) : ok("disk", text);
}

/** Checks the limit of open files, which the runtime has raised to the hard limit. */
async function checkFiles(): Promise<Check | undefined> {
  const text = (await outputOf("sh", ["-c", "ulimit -n"]))?.trim();
  if (text === undefined || text === "") return undefined;
  const count = text === "unlimited" ? Infinity : Number(text);
  const shown = count === Infinity ? "any number of files" : `${withCommas(count)} files`;
  if (count > USUAL_CONNECTIONS) return ok("files", `a server can have ${shown} open`);
  return warning("files", {
    message: `a server can have ${shown} open, and ${withCommas(USUAL_CONNECTIONS)} connections`,
    cure: `raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd), or lower --max-connections`,
  });
}

/** The output of a program; `undefined` if it is missing or fails. */
async function outputOf(program: string, args: string[]): Promise<string | undefined> {
  try {
    const command = new Deno.Command(program, { args, stderr: "null", env: { LC_ALL: "C" } });
    const { success, stdout } = await command.output();
    return success ? new TextDecoder().decode(stdout) : undefined;
  } catch {
    // It is not there. Without PATH in the environment, the error is of no class of its own.
    return undefined;
  }
}
