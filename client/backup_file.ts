/** The file of a backup: written beside its place, and put there once it is whole and on disk. */

import { type ClientCode, ClientError } from "../cli/client_error.ts";
import { quote } from "../protocol/errors.ts";

export interface BackupFile extends Disposable {
  write(bytes: Uint8Array): void;
  /** All of it is written: it is made safe, and takes its name. */
  finish(): void;
}

/** Opens `path` for a backup. Throws `usage` where it is there already, or cannot be written. */
export function openBackupFile(path: string, force: boolean): BackupFile {
  if (!force && exists(path)) {
    throw new ClientError("usage", `${quote(path)} is there already`, {
      hint: "replace it with --force, or name another",
    });
  }
  const part = `${path}.part`;
  // What tasks were given and returned is not for everyone on this machine.
  const file = attempt(
    part,
    () => Deno.openSync(part, { write: true, create: true, truncate: true, mode: 0o600 }),
  );
  let isFinished = false;
  return {
    write: (bytes) => attempt(part, () => writeAll(file, bytes), "output_failed"),
    finish() {
      attempt(path, () => {
        file.syncSync();
        Deno.renameSync(part, path);
      }, "output_failed");
      isFinished = true;
    },
    [Symbol.dispose]() {
      file.close();
      if (!isFinished) Deno.removeSync(part);
    },
  };
}

function writeAll(file: { writeSync(bytes: Uint8Array): number }, bytes: Uint8Array): void {
  while (bytes.length > 0) bytes = bytes.subarray(file.writeSync(bytes));
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function attempt<T>(path: string, work: () => T, code: ClientCode = "usage"): T {
  try {
    return work();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClientError(code, `cannot write ${quote(path)}: ${reason}`, { cause: error });
  }
}
