/** Rows of text as an aligned table. What stands in it may come from strangers, and is escaped. */

import { eastAsianWidth } from "get-east-asian-width";
import { escapeControls, stdoutColumns } from "../../../cli/talk.ts";

const GAP = "  ";

/**
 * The table as text; columns whose index is in `right` are aligned there. A line that is wider than
 * `columns`, those of the terminal, ends there; in a pipe every line is whole.
 */
export function alignedTable(
  rows: readonly (readonly string[])[],
  right: number[] = [],
  columns = stdoutColumns(),
): string {
  const safe = rows.map((row) => row.map((cell) => escapeControls(cell)));
  const widths: number[] = [];
  for (const row of safe) {
    row.forEach((cell, i) => widths[i] = Math.max(widths[i] ?? 0, widthOf(cell)));
  }
  const lines = safe.map((row) => {
    const cells = row.map((cell, i) => {
      const space = " ".repeat((widths[i] ?? 0) - widthOf(cell));
      return right.includes(i) ? space + cell : cell + space;
    });
    const line = cells.join(GAP).trimEnd();
    return columns === undefined ? line : cut(line, columns);
  });
  return lines.join("\n");
}

/** `text` in `columns` of a terminal at most; what is cut ends in `…`, and never within a character. */
export function cut(text: string, columns: number): string {
  const safe = escapeControls(text);
  if (widthOf(safe) <= columns) return safe;
  let short = "";
  let width = 0;
  // What a person sees as one character can be several code points: a joined emoji, a letter and its accents.
  for (const { segment } of GRAPHEMES.segment(safe)) {
    width += widthOf(segment);
    if (width > columns - 1) break;
    short += segment;
  }
  return columns > 0 ? `${short}…` : "";
}

const GRAPHEMES = new Intl.Segmenter("en", { granularity: "grapheme" });

/** Columns that `text`, in which control characters are escaped, takes on a terminal. */
export function widthOf(text: string): number {
  // Nearly all of it is ASCII.
  if (/^[ -~]*$/.test(text)) return text.length;
  let width = 0;
  for (const char of text) {
    if (!/[\p{Mn}\p{Me}\p{Cf}]/u.test(char)) width += eastAsianWidth(char.codePointAt(0) as number);
  }
  return width;
}

/** `1234567` → `1,234,567`, whatever the language of the machine. */
export function withCommas(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}
