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
  summary: "copy everything that the server keeps to a file, while it runs",
  positional: "FILE",
  minArgs: 1,
  flags: {
    ...CLIENT_FLAGS,
    force: { type: "boolean", help: "replace FILE where it is there already" },
  },
  examples: [
    ["sd backup monday.db", "serve it again with: sd serve --engine sqlite:monday.db"],
    ["sd backup - | gzip > monday.db.gz", "- is stdout"],
  ],
  notes: [
    "FILE appears when it is whole and on disk; until then it is FILE.part. It cannot be a file that the " +
    "server keeps its tasks in. An engine that keeps no file is carried elsewhere with: sd export",
  ],
  async run({ flags, args }) {
    const [path = ""] = args;
    if (path === "-" && (flags.json || stdoutIsTerminal())) {
      throw new ClientError("usage", "a backup is not for a terminal, nor beside --json", {
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

export interface BackupFile extends Disposable {
  /** Opens it. Throws `usage` if it is one of `files`, which the server keeps its tasks in, or cannot be written. */
  begin(files: readonly FileIdentity[] | undefined): void;
  /** After `begin`. */
  write(bytes: Uint8Array): void;
  /** All of it is written: it is made safe, and takes its name. */
  finish(): void;
}

/** The place `path` for a backup. Throws `usage` if it is taken, or not there. */
export function openBackupFile(path: string, force: boolean): BackupFile {
  if (!force && attempt(path, () => exists(path))) {
    throw new ClientError("usage", `${quote(path)} is there already`, {
      hint: "replace it with --force, or name another",
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

/** Links of any kind lead to the same file. */
function refuseOwn(path: string, files: readonly FileIdentity[]): void {
  const found = attempt(path, () => statOf(path));
  if (!found) return;
  const born = found.birthtime?.getTime() ?? 0;
  if (!files.some((own) => own.ino === found.ino && own.dev === found.dev && own.born === born)) {
    return;
  }
  throw new ClientError(
    "usage",
    `${quote(path)} is a file that the server itself keeps its tasks in`,
    { hint: "name another file for the backup" },
  );
}

/** What a backup before it has left there goes; what a link leads to is never written to. */
function openNew(path: string): Deno.FsFile {
  if (exists(path)) Deno.removeSync(path);
  // What tasks were given and returned is not for everyone on this machine.
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
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClientError(code, `cannot write ${quote(path)}: ${reason}`, { cause: error });
  }
}
