/** A backup on its way to a client: a line that begins it, pieces in base64, a line that ends it. */

import { Buffer } from "node:buffer";
import { BACKUP_PIECE_BYTES } from "../../../protocol/limits.ts";
import type { BackupBegin } from "../../../protocol/transfer.ts";
import type { Backup } from "../../engine/engine.ts";

export interface BackupReader {
  /** Aborted once the client has left. */
  readonly signal: AbortSignal;
  /** Resolves when more may be sent. */
  send(reply: object): Promise<void>;
}

/** Sends all of `backup`, as fast as the client reads; ends it whatever happens. */
export async function streamBackup(backup: Backup, reader: BackupReader): Promise<void> {
  try {
    const { bytes, files } = backup;
    await reader.send({ backup: "begin", bytes, files } satisfies BackupBegin);
    for await (const chunk of backup.chunks()) {
      for (let at = 0; at < chunk.length; at += BACKUP_PIECE_BYTES) {
        if (reader.signal.aborted) return;
        const piece = chunk.subarray(at, at + BACKUP_PIECE_BYTES);
        const base64 = Buffer.from(piece.buffer, piece.byteOffset, piece.length).toString("base64");
        await reader.send({ backup: "data", base64 });
      }
      if (reader.signal.aborted) return;
    }
    await reader.send({ backup: "end" });
  } finally {
    await backup.end();
  }
}
