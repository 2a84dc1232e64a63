/** `sd submit`: sends one task and prints its result, makes a recurring task, or hands many lines to `batch/`. */

import { defineCommand } from "../../cli/command.ts";
import { EXIT, type ExitCode } from "../../cli/exit.ts";
import { inLanguage } from "../../cli/messages.ts";
import { printData } from "../../cli/report.ts";
import { CLIENT_FLAGS, type ServerFlagValues } from "../../cli/server_flags.ts";
import { print, write } from "../../cli/talk.ts";
import { ClientError } from "../../net/client_error.ts";
import { formatDuration } from "../../protocol/text_forms.ts";
import { MAX_TIMEOUT_MS } from "../../protocol/limits.ts";
import type { CronAnswer } from "../../protocol/task.ts";
import { rawOf } from "../server_client.ts";
import type { Submitted } from "../client.ts";
import { outOfTime, withClient, within } from "./base/with_client.ts";
import { MESSAGES } from "./base/messages.ts";
import { goesOn, talk, tellEnd, withHint } from "./base/output.ts";
import { withProgress } from "./base/progress_line.ts";
import { MANY_FLAGS, oneReadingOf, OP_FLAGS, readingOf, sendingOf } from "./batch/many_flags.ts";
import { type Payload, readArguments, readPayload } from "./input/payload.ts";
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

export interface OneTask {
  flags: ServerFlagValues & { json: boolean };
  payload: Payload;
  /** How long to wait for the result. */
  waitMs: number;
}

export async function submitOne({ flags, payload, waitMs }: OneTask): Promise<ExitCode> {
  const messages = inLanguage(MESSAGES);
  let waiting: Submitted | undefined;
  const unfinished = () => waiting && goesOn([waiting.id]);
  return await withClient({ flags, unfinished, reconnects: true }, async (client) => {
    const startedAt = performance.now();
    const task = await within(rawOf(client).submit(payload), {
      ms: waitMs,
      late: () => unanswered(client.target, waitMs),
    }).catch((error) => {
      throw withHint(error, perhapsTaken(payload));
    });
    talk(messages.taskTaken(task.status, task.id));
    if (!payload.wait) return tellId(task, flags);
    waiting = task;
    talk(messages.waiting);
    const hint = goesOn([task.id]);
    const patience = {
      ms: Math.max(0, waitMs - (performance.now() - startedAt)),
      late: () => outOfTime(client, { waitMs, what: messages.noResult, hint }),
    };
    const end = await withProgress(
      { client, id: task.id, json: flags.json },
      () => within(task.end, patience),
    ).catch((error) => {
      throw withHint(error, hint);
    });
    waiting = undefined;
    if (end.status === "completed") talk(messages.resultReceived);
    return tellEnd(end, flags);
  });
}

function tellId(task: Submitted, { json }: { json: boolean }): ExitCode {
  if (json) printData({ task_id: task.id, status: task.status });
  else print(task.id);
  return EXIT.ok;
}

function unanswered(target: string, waitMs: number): ClientError {
  const message = inLanguage(MESSAGES).unanswered(target, formatDuration(waitMs));
  return new ClientError("unreachable", message);
}

function perhapsTaken({ id }: Payload): string {
  return inLanguage(MESSAGES).perhapsTaken(String(id));
}

export async function scheduleOne(
  flags: ServerFlagValues & { json: boolean },
  { json }: Payload,
): Promise<ExitCode> {
  return await withClient({ flags, reconnects: true }, async (client) => {
    const answer = await rawOf(client).ask<CronAnswer>(JSON.parse(json));
    const { cron_id, status, next_at } = answer;
    const next = next_at === undefined ? "" : ` next=${next_at}`;
    talk(`${inLanguage(MESSAGES).recurring[status]} id=${cron_id}${next}`);
    if (flags.json) printData(answer);
    else print(cron_id);
    return EXIT.ok;
  });
}
