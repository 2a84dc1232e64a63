/** Text in the columns of a terminal: tables, numbers, and all facts of one task. Pure; text of strangers is escaped. */

import { escapeControls } from "../../../cli/talk.ts";
import { cutText } from "../../../protocol/errors.ts";
import type { TaskView, Why } from "../../../protocol/task.ts";
import { cut, widthOf } from "../base/table.ts";

const GAP = "  ";

/** `text` in exactly `columns`: filled up with spaces, or cut. */
export function fit(text: string, columns: number): string {
  const short = cut(text, columns);
  return short + " ".repeat(Math.max(0, columns - widthOf(short)));
}

export interface Column {
  readonly heading: string;
  /** Aligned to the right, as numbers are. */
  readonly right?: boolean;
  /** Least width if space is short; the last such column shrinks first. */
  readonly least?: number;
}

/** The lines of a table in `width` columns, with its headings; long cells are cut. */
export function tableLines(
  columns: readonly Column[],
  { rows, width }: { rows: readonly (readonly string[])[]; width: number },
): string[] {
  const all = [
    columns.map(({ heading }) => heading),
    ...rows.map((row) => row.map((cell) => escapeControls(cell))),
  ];
  const widths = columns.map((_column, i) => Math.max(...all.map((row) => widthOf(row[i] ?? ""))));
  let over = widths.reduce((sum, one) => sum + one + GAP.length, -GAP.length) - width;
  for (let i = columns.length - 1; i >= 0; i--) {
    const own = widths[i] as number;
    const least = columns[i]?.least ?? own;
    if (over <= 0 || own <= least) continue;
    const width = Math.max(least, own - over);
    widths[i] = width;
    over -= own - width;
  }
  return all.map((row) =>
    cut(
      columns.map(({ right }, i) => {
        const cell = fit(row[i] ?? "", widths[i] as number);
        return right ? cell.trimEnd().padStart(cell.length) : cell;
      }).join(GAP).trimEnd(),
      width,
    )
  );
}

/** `1 worker`, `2 workers`. */
export function counted(count: number, noun: string): string {
  return `${compact(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** `1,234`; from 10,000 on three digits, rounded down: `12.3k`, `1.23M`. */
export function compact(count: number): string {
  if (count < 10_000) return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]] as const) {
    if (count < size) continue;
    const value = count / size;
    const scale = value >= 100 ? 1 : value >= 10 ? 10 : 100;
    return `${Math.floor(value * scale) / scale}${unit}`;
  }
  return String(count);
}

/** Most characters of a result, which can be a megabyte. */
const MAX_RESULT_CHARS = 4000;
const NAME_COLUMNS = 12;

export function taskText(view: TaskView, why: Why): string[] {
  const { progress, error, result, after, ...plain } = view;
  const rows: [string, string][] = [
    ...Object.entries(plain).map(([name, value]): [string, string] => [name, String(value)]),
    ...(after ? [["after", after.join(" ")] as [string, string]] : []),
    ...(progress
      ? [["progress", `${Math.floor(progress.fraction * 100)} % ${progress.note ?? ""}`] as [
        string,
        string,
      ]]
      : []),
    ["why", why.why],
    ...(error ? [["error", `${error.code}: ${error.message}`] as [string, string]] : []),
    ...(result === undefined ? [] : [["result", resultText(result)] as [string, string]]),
  ];
  return rows.flatMap(([name, value]) =>
    value.split("\n").map((line, i) => `${(i === 0 ? name : "").padEnd(NAME_COLUMNS)}  ${line}`)
  );
}

function resultText(result: unknown): string {
  const text = typeof result === "string" ? result : JSON.stringify(result, null, 2);
  return text.length <= MAX_RESULT_CHARS
    ? text
    : `${cutText(text, MAX_RESULT_CHARS)} (${text.length} characters; all of them: sd result)`;
}
