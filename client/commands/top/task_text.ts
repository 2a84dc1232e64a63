/** All that is known of one task, as lines for a person. */

import { cutText } from "../../../protocol/errors.ts";
import type { TaskView, Why } from "../../../protocol/task.ts";

/** Of a result, which may be a megabyte. */
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
