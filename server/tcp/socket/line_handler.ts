/** The reader of a connection's lines: a client's session, or a work link after a first line with `work`. */

import type { Line } from "../../../protocol/ndjson.ts";

export interface LineHandler {
  /** Lines that came together, in their order, with the texts of the lines that are `null`. Resolves when more may be read. */
  handle(lines: readonly Line[], spoiled: readonly string[]): void | Promise<void>;
  /** A last line without its newline is not read: it may be half of one. */
  readonly wantsNewlines?: true;
  /** A line was longer than `maxBytes`, and nothing after it can be read. */
  overflow(maxBytes: number): void;
  /** The other side sends nothing more; resolves when it has all replies that it waits for. */
  ended(): Promise<void>;
  /** Characters that wait here until the other side has read on. */
  readonly buffered?: number;
  /** Looks at what it waits for; called as often as the sweeper looks. */
  sweep?(): void;
  /** The connection is gone. */
  cut(): void;
}
