/** Carries tasks and settings from server to server: the commands `export`, `import` and `backup`. */

import { Buffer } from "node:buffer";
import { ClientError } from "../net/client_error.ts";
import type { BackupBegin, ImportAnswer } from "../protocol/transfer.ts";
import type { JsonObject } from "../protocol/message.ts";
import type { Status } from "../protocol/task.ts";
import type { Abortable } from "./connection/call_options.ts";
import type { RawClient } from "./raw_client.ts";

/** The tasks to export; default: all of them, and the settings. */
export interface ExportFilter {
  /** Only tasks with this status. */
  status?: Status;
  /** Only tasks of this op. */
  op?: string;
}

/** A task or a setting as it travels; `docs/protocol.md` describes its members. `sd` is the version of the record. */
export type SdRecord = JsonObject & { sd: number };

/** Most characters of a part of an import: escaped to twice as many, at three bytes each, it fits a line. */
const PART_CHARS = 160 * 1024;

/** See `Client.exportRecords`. */
export async function* exportRecords(
  raw: RawClient,
  { signal, ...filter }: ExportFilter & Abortable,
): AsyncGenerator<SdRecord, void, undefined> {
  let cursor: string | null = null;
  do {
    const page: { records: SdRecord[]; cursor: string | null } = await raw.ask({
      cmd: "export",
      ...filter,
      ...(cursor === null ? {} : { cursor }),
    }, { signal });
    yield* page.records;
    cursor = page.cursor;
  } while (cursor !== null);
}

/** See `Client.importText`. */
export async function importText(
  raw: RawClient,
  text: string,
  options?: Abortable,
): Promise<ImportAnswer> {
  let at = 0;
  for (; at + PART_CHARS < text.length; at += PART_CHARS) {
    const part = text.slice(at, at + PART_CHARS);
    await raw.ask({ cmd: "import", part, at, last: false }, options);
  }
  return await raw.ask({ cmd: "import", part: text.slice(at), at, last: true }, options);
}

/** Called once, before the first `write`; an error that it throws ends the backup. */
export type BeginBackup = (begin: Pick<BackupBegin, "bytes" | "files">) => void;

/** Options of `backup`. */
interface BackupOptions extends Abortable {
  readonly write: (bytes: Uint8Array) => void;
  readonly begin?: BeginBackup | undefined;
}

/** See `Client.backup`. */
export async function backup(
  raw: RawClient,
  { write, begin, signal }: BackupOptions,
): Promise<number> {
  let expected: unknown;
  let written = 0;
  await raw.replies({ cmd: "backup" }, (reply) => {
    if (reply.backup === "begin") {
      expected = reply.bytes;
      begin?.(reply as unknown as BackupBegin);
    }
    if (reply.backup !== "data") return reply.backup === "end";
    const bytes = Buffer.from(String(reply.base64), "base64");
    write(bytes);
    written += bytes.length;
    return false;
  }, { signal });
  if (written === expected) return written;
  throw new ClientError(
    "unreachable",
    `the backup has ${written} bytes, and should have ${expected}`,
    { hint: "it is of no use; try again" },
  );
}
