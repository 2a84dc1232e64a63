/** Everything that a server keeps, out of one and into another: `export` and `import` of the wire. */

import type { ImportAnswer } from "../protocol/transfer.ts";
import type { JsonObject } from "../protocol/message.ts";
import type { Status } from "../protocol/task.ts";
import type { Abortable } from "./connection/call_options.ts";
import type { RawClient } from "./raw_client.ts";

/** Which tasks to export; without either, all of them, and the settings too. */
export interface ExportFilter {
  status?: Status;
  op?: string;
}

/** A task or a setting as it travels; `docs/protocol.md` tells its members. */
export type SdRecord = JsonObject & { sd: number };

/** Twice as many characters, and three bytes each, still fit a line. */
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
