/** Everything that a server keeps, out of one and into another: `export` and `import` of the wire. */

import type { ImportAnswer } from "../protocol/transfer.ts";
import type { JsonObject } from "../protocol/message.ts";
import type { Status } from "../protocol/task.ts";
import type { Commander } from "./connection/commander.ts";

/** Which tasks to export; without either, all of them, and the settings too. */
export interface ExportFilter {
  status?: Status;
  op?: string;
}

/** A task or a setting as it travels; `docs/protocol.md` tells its members. */
export type SdRecord = JsonObject & { sd: number };

/** Twice as many characters, and three bytes each, still fit a line. */
const PART_CHARS = 160 * 1024;

/** The records of the server, settings first, then tasks, the oldest first. */
export async function* exportRecords(
  client: Commander,
  filter: ExportFilter = {},
): AsyncGenerator<SdRecord> {
  let cursor: string | null = null;
  do {
    const page: { records: SdRecord[]; cursor: string | null } = await client.command({
      cmd: "export",
      ...filter,
      ...(cursor === null ? {} : { cursor }),
    });
    yield* page.records;
    cursor = page.cursor;
  } while (cursor !== null);
}

/**
 * Takes in `text`, lines of records of 4 MiB together at most. The same record again changes nothing. Call
 * it again only once it has answered: the parts of two texts would be mixed up.
 */
export async function importText(client: Commander, text: string): Promise<ImportAnswer> {
  let at = 0;
  for (; at + PART_CHARS < text.length; at += PART_CHARS) {
    await client.command({ cmd: "import", part: text.slice(at, at + PART_CHARS), at, last: false });
  }
  return await client.command({ cmd: "import", part: text.slice(at), at, last: true });
}
