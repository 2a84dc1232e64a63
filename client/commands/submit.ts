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
import { TASK_MESSAGES } from "./base/messages.ts";
import { goesOn, printEnd, talk, withHint } from "./base/output.ts";
import { withProgress } from "./base/progress_line.ts";
import { MANY_FLAGS, oneReadingOf, OP_FLAGS, readingOf, sendingOf } from "./batch/many_flags.ts";
import { type Payload, readArguments, readPayload } from "./input/payload.ts";
import { inFlagWords, TASK_FLAGS, taskOptions } from "./input/task_flags.ts";
import { taskLines } from "./input/task_lines.ts";

/** Default of `--timeout` for a single task, in ms. */
const DEFAULT_WAIT_MS = 30_000;

export const submit = defineCommand({
  name: "submit",
  summary: "send a task and print its result",
  positional: "[PAYLOAD]",
  // Checked by `onePayload`: a second argument is nearly always an effect of shell quoting.
  maxArgs: Infinity,
  flags: {
    ...CLIENT_FLAGS,
    timeout: {
      type: "duration",
      value: "TIME",
      max: MAX_TIMEOUT_MS,
      help: "longest wait, 0 for ever; the task goes on",
      fallback: "30s, for ever with many tasks",
    },
    detach: { type: "boolean", short: "d", help: "print the id of the task and do not wait" },
    ...OP_FLAGS,
    ...MANY_FLAGS,
    ...TASK_FLAGS,
  },
  examples: [
    [`sd submit '{"op":"square","n":7}'`, "print 49"],
    [`sd submit '<"op":"square","n":7>'`, "the same, with angle brackets"],
    ["sd submit hello", "text goes to the op echo"],
    [`sd submit --delay 5m --attempts 3 '{"op":"hash","data":"x"}'`, "options of the task"],
    [`sd submit --id n --cron '0 2 * * *' --tz Europe/Rome hi`, "every night; see: sd cron"],
    ["sd submit --file tasks.ndjson > results.ndjson", "a task a line, a result a line"],
    ["sd submit --file tasks.ndjson --resume >> results.ndjson", "the rest after an interruption"],
    ["sd submit --op resize --file images.csv", "a task a row; cells are arguments"],
    ["ls *.png | sd submit --op resize --arg path", "a task a line; its text is one argument"],
  ],
  notes: [
    "Without a payload it asks on a terminal, and reads a task a line from stdin in a pipe. " +
    "With many tasks each result is a line " +
    '{"line":N,"task_id":…,"status":…,"result"|"error":…}, in the order in which tasks end.',
    "FILE.sd-progress records how far FILE was sent, and is removed after the last result. After any interruption " +
    "--resume sends the rest and prints the missing results. Ctrl-C sends no more lines and waits for the running " +
    "tasks; a second Ctrl-C leaves them.",
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
      throw new ClientError("usage", "--id names a single task, and these are lines of tasks", {
        hint: `give each line its own id: {"op":"square","n":7,"task":{"id":"a-1"}}`,
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

/** The payload that was typed, as an argument or at the prompt; `undefined` if tasks come one a line. */
async function onePayload(
  file: string | undefined,
  args: readonly string[],
): Promise<string | undefined> {
  const [payload, second] = args;
  if (second !== undefined) {
    throw new ClientError(
      "usage",
      `a payload is one argument, and these are ${args.length}: ${args.join(" · ")}`,
      { hint: `put the payload in single quotes: sd submit '{"op":"square","n":7}'` },
    );
  }
  if (payload !== undefined && file !== undefined) {
    throw new ClientError("usage", "a payload and --file exclude each other");
  }
  if (payload !== undefined || file !== undefined) return payload;
  return Deno.stdin.isTerminal() ? await askPayload() : undefined;
}

async function askPayload(): Promise<string> {
  write("stderr", inLanguage(TASK_MESSAGES).askPayload);
  for await (const { text } of taskLines(Deno.stdin.readable)) {
    if (text !== null) return text;
    throw new ClientError("usage", "the typed text is not valid UTF-8");
  }
  // Ctrl-D leaves the cursor in the line.
  write("stderr", "\n");
  return "";
}

interface OneTask {
  flags: ServerFlagValues & { json: boolean };
  payload: Payload;
  /** Longest wait for the result, in ms. */
  waitMs: number;
}

async function submitOne({ flags, payload, waitMs }: OneTask): Promise<ExitCode> {
  const messages = inLanguage(TASK_MESSAGES);
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
    if (!payload.wait) return printId(task, flags);
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
    return printEnd(end, flags);
  });
}

function printId(task: Submitted, { json }: { json: boolean }): ExitCode {
  if (json) printData({ task_id: task.id, status: task.status });
  else print(task.id);
  return EXIT.ok;
}

function unanswered(target: string, waitMs: number): ClientError {
  const message = inLanguage(TASK_MESSAGES).unanswered(target, formatDuration(waitMs));
  return new ClientError("unreachable", message);
}

function perhapsTaken({ id }: Payload): string {
  return inLanguage(TASK_MESSAGES).perhapsTaken(String(id));
}

async function scheduleOne(
  flags: ServerFlagValues & { json: boolean },
  { json }: Payload,
): Promise<ExitCode> {
  return await withClient({ flags, reconnects: true }, async (client) => {
    const answer = await rawOf(client).ask<CronAnswer>(JSON.parse(json));
    const { cron_id, status, next_at } = answer;
    const next = next_at === undefined ? "" : ` next=${next_at}`;
    talk(`${inLanguage(TASK_MESSAGES).recurring[status]} id=${cron_id}${next}`);
    if (flags.json) printData(answer);
    else print(cron_id);
    return EXIT.ok;
  });
}
