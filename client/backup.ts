/** A backup from a server, piece by piece. */

import { Buffer } from "node:buffer";
import { ClientError } from "../net/client_error.ts";
import type { BackupBegin } from "../protocol/transfer.ts";
import type { Abortable } from "./connection/call_options.ts";
import type { RawClient } from "./raw_client.ts";

/** Called once, before the first `write`: throw in it to leave the backup. */
export type BeginBackup = (begin: Pick<BackupBegin, "bytes" | "files">) => void;

export interface BackupOptions extends Abortable {
  readonly write: (bytes: Uint8Array) => void;
  readonly begin?: BeginBackup | undefined;
}

/**
 * Calls `write` with everything that the server keeps, from the beginning to the end; answers how many
 * bytes that were. `write` is synchronous, so that a slow disk slows the server's sending down. Throws
 * `bad_request` where the engine keeps no file, `conflict` where another backup is under way.
 */
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
