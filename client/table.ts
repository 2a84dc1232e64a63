/** Rows of text as an aligned table. What stands in it may come from strangers, and is escaped. */

import { escapeControls, stdoutColumns } from "../cli/talk.ts";

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
    row.forEach((cell, i) => widths[i] = Math.max(widths[i] ?? 0, columnsOf(cell)));
  }
  const lines = safe.map((row) => {
    const cells = row.map((cell, i) => {
      const space = " ".repeat((widths[i] ?? 0) - columnsOf(cell));
      return right.includes(i) ? space + cell : cell + space;
    });
    return cut(cells.join(GAP).trimEnd(), columns);
  });
  return lines.join("\n");
}

function cut(line: string, columns: number | undefined): string {
  if (columns === undefined || columnsOf(line) <= columns) return line;
  return `${[...line].slice(0, columns - 1).join("")}…`;
}

/** Code points: what stands in a column but the last is ASCII, or the name of a function. */
function columnsOf(text: string): number {
  return [...text].length;
}

/** `1234567` → `1,234,567`, whatever the language of the machine. */
export function withCommas(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}
