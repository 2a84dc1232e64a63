/**
 * Tables for people: rows of text as aligned columns, and tasks as such rows. Cells can come from strangers and are
 * escaped. In a pipe every column and every line is whole; on a terminal lines end at its edge, times are ages, and
 * columns that say nothing new are left out.
 */

import { eastAsianWidth } from "get-east-asian-width";
import { escapeControls, stdoutColumns } from "../../../cli/talk.ts";
import { formatDuration } from "../../../protocol/text_forms.ts";
import { cutText } from "../../../protocol/errors.ts";
import type { TaskView } from "../../../protocol/task.ts";

export { withCommas } from "../../../protocol/text_forms.ts";

const GAP = "  ";

/**
 * The table as text. Columns whose index is in `right` are aligned to the right. Lines are cut at `columns`, the
 * width of the terminal; in a pipe they are whole.
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

/** `text` in up to `columns` of a terminal. A cut text ends in `…`, and no character is split. */
export function cut(text: string, columns: number): string {
  const safe = escapeControls(text);
  if (widthOf(safe) <= columns) return safe;
  let short = "";
  let width = 0;
  // One visible character can be several code points: a joined emoji, a letter and its accents.
  for (const { segment } of GRAPHEMES.segment(safe)) {
    width += widthOf(segment);
    if (width > columns - 1) break;
    short += segment;
  }
  return columns > 0 ? `${short}…` : "";
}

const GRAPHEMES = new Intl.Segmenter("en", { granularity: "grapheme" });

/** Columns of `text` on a terminal. Its control characters must be escaped. */
export function widthOf(text: string): number {
  // Nearly all text is ASCII.
  if (/^[ -~]*$/.test(text)) return text.length;
  let width = 0;
  for (const char of text) {
    if (!/[\p{Mn}\p{Me}\p{Cf}]/u.test(char)) width += eastAsianWidth(char.codePointAt(0) as number);
  }
  return width;
}

const HEADINGS = ["ID", "OP", "STATUS", "ATTEMPT", "CREATED", "TOOK", "KEY", "ERROR"] as const;
type Heading = typeof HEADINGS[number];

const RIGHT: ReadonlySet<Heading> = new Set(["ATTEMPT", "TOOK"]);
/** Most characters of an error in a pipe; --json has all of it. */
const MAX_ERROR_CHARS = 60;

interface TaskTableOptions {
  /** Width of the terminal; `undefined` in a pipe. */
  columns: number | undefined;
  /** The time that ages count from, in ms since 1970. */
  now: number;
  /** Columns with the same text in every row. */
  without?: readonly Heading[];
}

export function taskTable(
  tasks: readonly TaskView[],
  { columns, now, without = [] }: TaskTableOptions,
): string {
  const isNarrow = columns !== undefined;
  const cells = tasks.map((task) => cellsOf(task, isNarrow ? now : undefined));
  const isLeftOut = (heading: Heading) =>
    (isNarrow && without.includes(heading)) ||
    // Columns that are empty in every row are left out. A pipe omits only KEY: few tasks have a key.
    ((heading === "KEY" || (isNarrow && heading !== "ID")) &&
      cells.every((row) => row[heading] === ""));
  const headings = HEADINGS.filter((heading) => !isLeftOut(heading));
  if (isNarrow && headings.at(-1) === "ERROR" && roomForError(headings, cells, columns) < 0) {
    headings.pop();
  }
  const names = headings.map((heading) => isNarrow ? SHORT[heading] ?? heading : heading);
  const rows = cells.map((row) => headings.map((heading) => row[heading]));
  const right = [...headings.keys()].filter((at) => RIGHT.has(headings[at] as Heading));
  return alignedTable([names, ...rows], right, columns);
}

/** Columns that are left for an error beyond its least width; negative if it does not fit. */
function roomForError(
  headings: readonly Heading[],
  cells: readonly Record<Heading, string>[],
  columns: number,
): number {
  const widths = headings.slice(0, -1).map((heading) =>
    GAP_COLUMNS +
    Math.max((SHORT[heading] ?? heading).length, ...cells.map((row) => row[heading].length))
  );
  return columns - MIN_ERROR_COLUMNS - widths.reduce((sum, width) => sum + width, 0);
}

const GAP_COLUMNS = 2;
/** Least columns for an error. */
const MIN_ERROR_COLUMNS = 10;

const SHORT: Partial<Record<Heading, string>> = { ATTEMPT: "TRY", CREATED: "AGE" };

/** The cells of a row; with `now` in the form for a terminal. */
function cellsOf(task: TaskView, now: number | undefined): Record<Heading, string> {
  const { task_id, op, status, attempt, attempts, created_at, key = "" } = task;
  const error = errorText(task);
  return {
    ID: task_id,
    OP: op,
    STATUS: status,
    ATTEMPT: `${attempt}/${attempts}`,
    CREATED: now === undefined ? created_at : age(created_at, now),
    TOOK: tookText(task),
    KEY: key,
    ERROR: now === undefined ? cutText(error, MAX_ERROR_CHARS) : error,
  };
}

/** How long ago `time` (RFC 3339) was at `now`, in one unit: `3s`, `12m`, `5h`, `9d`. */
export function age(time: string, now: number): string {
  const ms = Math.max(0, now - Date.parse(time));
  // Two units at least: 1h is less exact than 119m.
  const [size, unit] = UNITS.find(([size]) => ms >= 2 * size) ?? [1000, "s"];
  return `${Math.floor(ms / size)}${unit}`;
}

const UNITS: readonly (readonly [ms: number, unit: string])[] = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "m"],
];

function tookText({ started_at, finished_at }: TaskView): string {
  if (started_at === undefined || finished_at === undefined) return "";
  return formatDuration(Date.parse(finished_at) - Date.parse(started_at));
}

function errorText({ error }: TaskView): string {
  return error ? `${error.code}: ${error.message}` : "";
}
