/** The progress of a task, on one line of the terminal while a command waits for the task. */

import { cutText } from "../../../protocol/errors.ts";
import { escapeControls, write } from "../../../cli/talk.ts";
import type { Progress } from "../../../protocol/task.ts";
import type { Client } from "../../client.ts";
import { watch } from "../../watching.ts";
import { rawOf } from "../../server_client.ts";

/** Moves to the beginning of the line and clears it. */
const CLEAR_LINE = "\r\x1b[K";
const NARROW_COLUMNS = 80;

/** Runs `wait`, and shows the progress of task `id` meanwhile if stderr is a terminal. */
export async function withProgress<T>(
  { client, id, json }: { client: Client; id: string; json: boolean },
  wait: () => Promise<T>,
): Promise<T> {
  if (json || !Deno.stderr.isTerminal()) return await wait();
  let isShown = false;
  let isOver = false;
  const show = (progress: Progress | undefined) => {
    if (!progress || isOver) return;
    isShown = true;
    write("stderr", CLEAR_LINE + progressText(progress, columns()));
  };
  const watching = watch(rawOf(client), { taskId: id }, ({ progress }) => show(progress));
  // Progress is optional: `wait` itself reports every error.
  watching.then(() => client.get(id)).then(({ progress }) => show(progress), () => undefined);
  try {
    return await wait();
  } finally {
    isOver = true;
    if (isShown) write("stderr", CLEAR_LINE);
    watching.then((it) => it.stop()).catch(() => undefined);
  }
}

/** The text of the line, in less than `width` columns so that it does not wrap. */
export function progressText({ fraction, note = "" }: Progress, width: number): string {
  const percent = `[client] ${String(Math.floor(fraction * 100)).padStart(3)} %`;
  const text = note === "" ? percent : `${percent} ${escapeControls(note)}`;
  return cutText(text, width - 1);
}

function columns(): number {
  try {
    return Deno.consoleSize().columns || NARROW_COLUMNS;
  } catch {
    // Only stderr is a terminal: its size is unknown.
    return NARROW_COLUMNS;
  }
}
