/** `sd submit`: sends one task, or one a line, and prints what comes back. */

import { ClientError } from "../../net/client_error.ts";
import { defineCommand } from "../../cli/command.ts";
import { inLanguage } from "../../cli/language.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { write } from "../../cli/talk.ts";
import { MAX_TIMEOUT_MS } from "../../protocol/limits.ts";
import { MANY_FLAGS, oneReadingOf, OP_FLAGS, readingOf, sendingOf } from "./batch/many_flags.ts";
import { MESSAGES } from "./base/messages.ts";
import { readArguments, readPayload } from "./input/payload.ts";
import { scheduleOne } from "./schedule_one.ts";
import { submitOne } from "./submit_one.ts";
import { inFlagWords, TASK_FLAGS, taskOptions } from "./input/task_flags.ts";
import { taskLines } from "./input/task_lines.ts";

const DEFAULT_WAIT_MS = 30_000;

export const submit = defineCommand({
  name: "submit",
  summary: "send a task and print its result",
  positional: "[PAYLOAD]",
  // Counted here and not by the frame: more than one is nearly always the shell's doing.
  maxArgs: Infinity,
  flags: {
    ...CLIENT_FLAGS,
    timeout: {
      type: "duration",
      value: "TIME",
      max: MAX_TIMEOUT_MS,
      help:
        "how long to wait, 0 for ever; the task goes on (default 30s; for ever with many tasks)",
    },
    detach: { type: "boolean", short: "d", help: "print the task's id and do not wait" },
    ...OP_FLAGS,
    ...MANY_FLAGS,
    ...TASK_FLAGS,
  },
  examples: [
    [`sd submit '{"op":"square","n":7}'`, "prints 49"],
    [`sd submit '<"op":"square","n":7>'`, "the same, with angle brackets for braces"],
    ["sd submit hello", "text is sent to the op echo"],
    [`sd submit --delay 5m --attempts 3 '{"op":"hash","data":"x"}'`, "options of the task"],
    [`sd submit --id n --cron '0 2 * * *' --tz Europe/Rome hi`, "every night; see: sd cron"],
    ["sd submit --file tasks.ndjson > results.ndjson", "one task a line, one result a line"],
    ["sd submit --file tasks.ndjson --resume >> results.ndjson", "the rest, after an interruption"],
    ["sd submit --op resize --file images.csv", "a task a row, its cells the arguments"],
    ["ls *.png | sd submit --op resize --arg path", "a task a line, its text one argument"],
  ],
  notes: [
    "Without a payload it asks for one on a terminal, and else reads one task a line from stdin. " +
    "With many tasks each result is a line " +
    '{"line":N,"task_id":…,"status":…,"result"|"error":…}, in the order in which they end.',
    "While a file is sent, FILE.sd-progress beside it says how far it is; it goes with the last result. " +
    "After an interruption of any kind --resume sends the rest and tells the results that were not told. " +
    "Ctrl-C sends no more and waits for what is under way; again, it leaves that too.",
    "Exit: 0 done, 1 the task failed, 2 bad payload, 3 no server, 6 cancelled or expired, " +
    "7 refused, 124 --timeout passed (the task goes on), 130 Ctrl-C (the task goes on).",
  ],
  async run({ flags, args }) {
    const options = taskOptions(flags);
    const payload = await onePayload(flags.file, args);
    if (payload !== undefined) {
      try {
        const { op, arg } = oneReadingOf(flags);
        const task = op === undefined
          ? readPayload(payload, { options })
          : readArguments(payload, { options, op, arg });
        if (flags.dryRun) return (await import("./batch/dry_run.ts")).planOne(task, flags);
        const waitMs = (flags.timeout ?? DEFAULT_WAIT_MS) || Infinity;
        if (task.cron) return await scheduleOne(flags, task);
        return await submitOne({ flags, payload: task, waitMs });
      } catch (error) {
        throw inFlagWords(error, options);
      }
    }
    if (flags.id !== undefined) {
      throw new ClientError("usage", "--id names one task, and there may be many lines", {
        hint: `give each its own, as in {"op":"square","n":7,"task":{"id":"a-1"}}`,
      });
    }
    const file = flags.file ?? "-";
    const reading = readingOf(flags);
    if (flags.dryRun) {
      const { planFile } = await import("./batch/dry_run.ts");
      return await planFile(file, { flags, reading, options });
    }
    const { submitLines } = await import("./batch/submit_many.ts");
    const waitMs = flags.timeout || Infinity;
    return await submitLines({ flags, file, reading, options, waitMs, ...sendingOf(flags) });
  },
});

/** The payload typed or asked for; `undefined` where tasks come one a line. */
async function onePayload(
  file: string | undefined,
  args: readonly string[],
): Promise<string | undefined> {
  const [payload, second] = args;
  if (second !== undefined) {
    throw new ClientError(
      "usage",
      `one payload is sent at a time, these are ${args.length}: ${args.join(" · ")}`,
      { hint: `put all of it in single quotes, as in: sd submit '{"op":"square","n":7}'` },
    );
  }
  if (payload !== undefined && file !== undefined) {
    throw new ClientError("usage", "tasks come from --file or are given, not both");
  }
  if (payload !== undefined || file !== undefined) return payload;
  return Deno.stdin.isTerminal() ? await askPayload() : undefined;
}

async function askPayload(): Promise<string> {
  write("stderr", inLanguage(MESSAGES).askPayload);
  for await (const { text } of taskLines(Deno.stdin.readable)) {
    if (text !== null) return text;
    throw new ClientError("usage", "what was typed is not valid UTF-8");
  }
  // Ctrl-D: the next line of the terminal is not to begin in the middle.
  write("stderr", "\n");
  return "";
}
