/** Writes the starter files into a folder: all of them, or, where one is in the way, none. */

import { type ClientCode, ClientError } from "../../../net/client_error.ts";
import { writeWholeFile } from "../../../cli/whole_file.ts";
import { quote } from "../../../protocol/errors.ts";

const PLACE_ERRORS = [
  Deno.errors.NotADirectory,
  Deno.errors.IsADirectory,
  Deno.errors.PermissionDenied,
  Deno.errors.NotFound,
];

export interface StarterFolder {
  /** Made where it is not there. */
  readonly folder: string;
  /** Texts by file names. */
  readonly files: Readonly<Record<string, string>>;
  /** Write over what is there. */
  readonly force: boolean;
}

/** Writes them and answers their paths. Throws `usage` where a file is there with another text, and writes none. */
export function writeStarter({ folder, files, force }: StarterFolder): string[] {
  const all = Object.entries(files).map(([name, text]) => ({ path: pathIn(folder, name), text }));
  const inTheWay = all.filter(({ path, text }) => !force && !isFree(path, text));
  if (inTheWay.length > 0) {
    const names = inTheWay.map(({ path }) => quote(path)).join(" and ");
    throw new ClientError(
      "usage",
      `${names} ${inTheWay.length > 1 ? "are" : "is"} there already, and nothing is written`,
      { hint: "write over it with --force, or name another folder: sd init DIR" },
    );
  }
  attempt(folder, () => Deno.mkdirSync(folder, { recursive: true }));
  for (const { path, text } of all) {
    attempt(path, () => writeWholeFile(path, text), "output_failed");
  }
  return all.map(({ path }) => path);
}

function pathIn(folder: string, name: string): string {
  return folder === "." ? name : `${folder.replace(/[/\\]+$/, "")}/${name}`;
}

/** Whether nothing is lost when `text` is written to `path`. */
function isFree(path: string, text: string): boolean {
  return attempt(path, () => {
    try {
      return Deno.readTextFileSync(path) === text;
    } catch (error) {
      // A link to nowhere is something as well.
      if (error instanceof Deno.errors.NotFound) return !isThere(path);
      if (error instanceof Deno.errors.IsADirectory) return false;
      throw error;
    }
  });
}

function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** `code` is that of a disk or device that fails; a place that is no place is `usage`. */
function attempt<T>(path: string, work: () => T, code: ClientCode = "usage"): T {
  try {
    return work();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const isPlace = PLACE_ERRORS.some((type) => error instanceof type);
    throw new ClientError(isPlace ? "usage" : code, `cannot write ${quote(path)}: ${reason}`, {
      cause: error,
    });
  }
}
