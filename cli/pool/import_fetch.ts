/**
 * Brings what task files import from registries and other hosts into Deno's cache, before a worker process starts. The
 * process itself fetches nothing (`--cached-only`): Deno asks no permission for a package, so a name that task code
 * makes up would carry data out. An executable takes no packages, and has nothing to fetch.
 */

import { cutText } from "../../protocol/errors.ts";
import { fetchCommand, selfEnvironment } from "./self_command.ts";
import { readTaskSource } from "./task_source.ts";

const MAX_REASON_CHARS = 400;

/** Those of `files`, paths of task files, that import something which has to be fetched. */
export function thoseToFetch(files: readonly string[]): string[] {
  if (Deno.build.standalone) return [];
  return files.filter((file) => readTaskSource(file).importsFromElsewhere);
}

/** Fetches all that `files` import. Resolves with why that did not succeed; `undefined` where it did. */
export async function fetchImports(
  files: readonly string[],
  signal: AbortSignal,
): Promise<string | undefined> {
  const { path, args } = fetchCommand(files);
  const { success, stderr } = await new Deno.Command(path, {
    args,
    clearEnv: true,
    env: { ...selfEnvironment(), NO_COLOR: "1" },
    stdin: "null",
    stdout: "null",
    signal,
  }).output();
  return success ? undefined : reasonIn(new TextDecoder().decode(stderr));
}

/** What went wrong, and the last of its causes, which Deno numbers below it. */
function reasonIn(told: string): string {
  // Deno's advice is for those who call it themselves.
  const [, what = told.trim()] = /^error: (.*?)(?:, run again with .*)?$/m.exec(told) ?? [];
  const causes = [...told.matchAll(/^ +\d+: (?!<unknown>)(.*)$/gm)].map(([, cause = ""]) => cause);
  return cutText([what, ...causes.slice(-1)].join(": "), MAX_REASON_CHARS);
}
