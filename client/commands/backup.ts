/** `sd backup`: copies everything that the server keeps to a file, while the server runs. */

import { dirname } from "node:path";
import { defineCommand } from "../../cli/command.ts";
import { EXIT } from "../../cli/exit.ts";
import { printData } from "../../cli/report.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { stdoutIsTerminal, writeBytes } from "../../cli/talk.ts";
import { type ClientCode, ClientError } from "../../net/client_error.ts";
import { quote } from "../../protocol/errors.ts";
import type { FileIdentity } from "../../protocol/transfer.ts";
import { talk } from "./base/output.ts";
import { withCommas } from "./base/table.ts";
import { withClient } from "./base/with_client.ts";

export const backupCommand = defineCommand({
  name: "backup",
  summary: "copy all data of the server to a file while it runs",
  positional: "FILE",
  minArgs: 1,
  flags: {
    ...CLIENT_FLAGS,
    force: { type: "boolean", help: "replace an existing FILE" },
  },
  examples: [
    ["sd backup monday.db", "serve it again with: sd serve --engine sqlite:monday.db"],
    ["sd backup - | gzip > monday.db.gz", "write to stdout"],
  ],
  notes: [
    "FILE appears once it is complete and on disk; until then it is FILE.part. FILE cannot be a file of the " +
    "server itself. Use sd export for an engine without a file.",
  ],
  async run({ flags, args }) {
    const [path = ""] = args;
    if (path === "-" && (flags.json || stdoutIsTerminal())) {
      throw new ClientError("usage", "a backup cannot be printed on a terminal or with --json", {
        hint: "name a file, or pipe it: sd backup - | gzip > FILE",
      });
    }
    using file = path === "-" ? undefined : openBackupFile(path, flags.force);
    const write = (bytes: Uint8Array) =>
      file ? file.write(bytes) : void writeBytes("stdout", bytes);
    const bytes = await withClient(
      { flags },
      (client) => client.backup(write, ({ files }) => file?.begin(files)),
    );
    file?.finish();
    if (flags.json) printData({ file: path, bytes });
    else if (file) talk(`${withCommas(bytes)} bytes are in ${quote(path)}`);
    return EXIT.ok;
  },
});

interface BackupFile extends Disposable {
  /** Opens the file. Throws `usage` if it is one of `files`, the files of the server itself, or cannot be written. */
  begin(files: readonly FileIdentity[] | undefined): void;
  /** Writes after `begin`. */
  write(bytes: Uint8Array): void;
  /** Syncs the complete file to disk and renames it to its final name. */
  finish(): void;
}

/** A backup at `path`. Throws `usage` if the file exists or its folder does not. */
function openBackupFile(path: string, force: boolean): BackupFile {
  if (!force && attempt(path, () => exists(path))) {
    throw new ClientError("usage", `${quote(path)} exists already`, {
      hint: "replace it with --force, or name another file",
    });
  }
  attempt(path, () => Deno.statSync(dirname(path)));
  const part = `${path}.part`;
  let file: Deno.FsFile | undefined;
  let isFinished = false;
  return {
    begin(files = []) {
      for (const name of [path, part]) refuseOwn(name, files);
      file = attempt(part, () => openNew(part));
    },
    write(bytes) {
      if (file) attempt(part, () => writeAll(file!, bytes), "output_failed");
    },
    finish() {
      attempt(path, () => {
        file?.syncSync();
        Deno.renameSync(part, path);
      }, "output_failed");
      isFinished = true;
    },
    [Symbol.dispose]() {
      if (!file) return;
      file.close();
      if (!isFinished) Deno.removeSync(part);
    },
  };
}

/** Refuses a file of the server. Files are compared by identity, since links lead to them too. */
function refuseOwn(path: string, files: readonly FileIdentity[]): void {
  const found = attempt(path, () => statOf(path));
  if (!found) return;
  const born = found.birthtime?.getTime() ?? 0;
  if (!files.some((own) => own.ino === found.ino && own.dev === found.dev && own.born === born)) {
    return;
  }
  throw new ClientError(
    "usage",
    `${quote(path)} is a file of the server itself`,
    { hint: "name another file for the backup" },
  );
}

/** A new file at `path`. The rest of an earlier backup is removed; the target of a link is never written. */
function openNew(path: string): Deno.FsFile {
  if (exists(path)) Deno.removeSync(path);
  // Arguments and results of tasks must not be readable by other users.
  return Deno.openSync(path, { write: true, createNew: true, mode: 0o600 });
}

function writeAll(file: { writeSync(bytes: Uint8Array): number }, bytes: Uint8Array): void {
  while (bytes.length > 0) bytes = bytes.subarray(file.writeSync(bytes));
}

function exists(path: string): boolean {
  return found(() => Deno.lstatSync(path)) !== undefined;
}

function statOf(path: string): Deno.FileInfo | undefined {
  return found(() => Deno.statSync(path));
}

function found(look: () => Deno.FileInfo): Deno.FileInfo | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function attempt<T>(path: string, work: () => T, code: ClientCode = "usage"): T {
  try {
    return work();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const reason = error instanceof Deno.errors.NotFound ? "there is no such folder" : message;
    throw new ClientError(code, `cannot write ${quote(path)}: ${reason}`, { cause: error });
  }
}
