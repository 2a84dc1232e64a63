/** The password of an engine that is a service: from a file, or from the environment, so that no command line holds it. */

import { readFile } from "node:fs/promises";
import { ClientError } from "../../net/client_error.ts";

export interface EnginePasswordSources {
  /** The file of `--engine-password-file`: its first line is the password. */
  readonly file: string | undefined;
  readonly env: (name: string) => string | undefined;
}

/** Resolves with the password of the file, or else of `SD_ENGINE_PASSWORD`. Rejects if the file cannot be read. */
export async function enginePassword(
  { file, env }: EnginePasswordSources,
): Promise<string | undefined> {
  if (file === undefined) return env("SD_ENGINE_PASSWORD");
  const text = await readNamedFile(file, "the file of the engine's password");
  return text.split(/\r?\n/, 1)[0];
}

/** The text of a file that an operator named. `what` says what it is, for the message. */
export async function readNamedFile(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new ClientError("usage", `cannot read ${what}, ${path}: ${(error as Error).message}`, {
      cause: error,
      hint: "name a file that this user can read",
    });
  }
}
