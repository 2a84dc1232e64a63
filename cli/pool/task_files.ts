/** From the arguments of `sd serve` and `sd work` to task files: files as they are named, and folders. */

import { quote } from "../../protocol/errors.ts";
import { MAX_FILE_NAME_CHARS, MAX_TASK_FILES } from "../../protocol/limits.ts";
import type { TaskFileRef } from "../../protocol/pool_start.ts";
import { ClientError } from "../../net/client_error.ts";

const IS_MODULE = /\.(ts|mts|tsx|js|mjs|jsx)$/;
const ENDS = [".ts", ".js", ".mts", ".mjs", ".tsx", ".jsx"];
/** Modules that lie in a folder of task files and are none. */
const IS_OTHER = /(\.d\.m?ts|[._]test\.(ts|mts|tsx|js|mjs|jsx))$/;

/**
 * The task files that `args` name: a file itself, a folder the modules that lie in it directly, by their
 * names. Throws `usage` for what is not there, is no module, or holds none.
 */
export function findTaskFiles(args: readonly string[]): TaskFileRef[] {
  const refs = new Map<string, TaskFileRef>();
  for (const arg of args) {
    for (const name of modulesOf(arg)) {
      if (name.length > MAX_FILE_NAME_CHARS) {
        throw new ClientError(
          "usage",
          `the name of a task file has ${MAX_FILE_NAME_CHARS} characters at most; this is ${
            quote(name)
          }`,
        );
      }
      const path = Deno.realPathSync(name);
      // A file that is named twice, maybe by way of its folder, is one file.
      if (!refs.has(path)) refs.set(path, { path, name });
    }
  }
  if (refs.size > MAX_TASK_FILES) {
    throw new ClientError(
      "usage",
      `these are ${refs.size} task files, the most is ${MAX_TASK_FILES}`,
    );
  }
  return [...refs.values()];
}

function modulesOf(arg: string): string[] {
  const { isDirectory } = stat(arg);
  if (!isDirectory) {
    if (IS_MODULE.test(arg)) return [arg];
    throw new ClientError("usage", `${quote(arg)} is no task file: its name ends in .ts or .js`, {
      hint: /\.c[jt]s$/.test(arg) ? "it is CommonJS; write it as an ES module" : undefined,
    });
  }
  const folder = arg.replace(/[/\\]+$/, "");
  const names = [...Deno.readDirSync(arg)]
    .filter(({ name, isDirectory }) =>
      !isDirectory && !name.startsWith(".") && IS_MODULE.test(name) && !IS_OTHER.test(name)
    )
    .map(({ name }) => `${folder}/${name}`)
    .sort();
  // One of them may be a link to what is not there.
  for (const name of names) stat(name);
  if (names.length > 0) return names;
  throw new ClientError("usage", `the folder ${quote(arg)} holds no task file`, {
    hint: "task files end in .ts or .js and lie in the folder itself",
  });
}

function stat(arg: string): Deno.FileInfo {
  try {
    return Deno.statSync(arg);
  } catch (error) {
    const isMissing = error instanceof Deno.errors.NotFound;
    const whole = isMissing ? ENDS.map((end) => arg + end).find(isThere) : undefined;
    const what = isMissing ? "is not there" : `cannot be read: ${String(error)}`;
    throw new ClientError("usage", `the task file ${quote(arg)} ${what}`, {
      cause: error,
      hint: whole !== undefined
        ? `there is ${quote(whole)}: write the whole name, with its end`
        : isMissing
        ? "sd init makes a tasks.ts to start from"
        : undefined,
    });
  }
}

function isThere(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
