/** Reads the path of the file out of the URL of a sqlite engine. */

import { quote, SdError } from "../../../protocol/errors.ts";

const SCHEME = "sqlite:";
const FILE_NAME = "sd.db";

/**
 * The path for `url`: `sqlite:` stands for `sd.db` in `dataDir`, `sqlite:PATH` for that file. Throws `bad_request` for any
 * other URL, and for a path that cannot name a file.
 */
export function sqlitePath(url: string, dataDir: string): string {
  if (!url.startsWith(SCHEME)) {
    throw new SdError("bad_request", `${quote(url)} is no sqlite engine; that is sqlite:PATH`);
  }
  const path = url.slice(SCHEME.length);
  if (path === "") {
    const end = dataDir.at(-1);
    if (dataDir === "" || end === "/" || end === "\\") return dataDir + FILE_NAME;
    return dataDir + (Deno.build.os === "windows" ? "\\" : "/") + FILE_NAME;
  }
  if (path.startsWith(":") || path.includes("\0")) {
    throw new SdError(
      "bad_request",
      `${quote(url)} names no file; give the path of one, like sqlite:/var/lib/sd/sd.db` +
        (path === ":memory:" ? ", or take the engine memory:" : ""),
    );
  }
  // Two slashes are a habit from other URLs; a file is meant, not a host.
  return path.startsWith("//") ? path.slice(path.startsWith("///") ? 2 : 1) : path;
}
