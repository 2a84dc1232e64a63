/** Files of certificates and keys that the URL of an engine names. */

import { readFile } from "node:fs/promises";
import { ClientError } from "../../net/client_error.ts";

/** The text of the file that `parameter` of the URL names. Throws a `ClientError` that names both. */
export async function readTlsFile(path: string, parameter: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = code === "ENOENT"
      ? "there is no such file"
      : code === "EACCES"
      ? "permission denied"
      : message;
    throw new ClientError("usage", `cannot read ${path} (?${parameter}): ${reason}`, {
      hint: "mend the file, or the option that names it",
      cause: error,
    });
  }
}
