/** `sd submit` with one task: say that it is queued, wait for its end, print its result. */

import type { ServerFlagValues } from "../../cli/server_flags.ts";
import { ClientError } from "../../net/client_error.ts";
import { EXIT, type ExitCode } from "../../cli/exit.ts";
import { inLanguage } from "../../cli/language.ts";
import { printData } from "../../cli/report.ts";
import { print } from "../../cli/talk.ts";
import { formatDuration } from "../../protocol/text_forms.ts";
import type { Submitted } from "../client.ts";
import { outOfTime, withHint } from "./base/lost_tasks.ts";
import { MESSAGES } from "./base/messages.ts";
import { goesOn, talk, tellEnd } from "./base/output.ts";
import type { Payload } from "./input/payload.ts";
import { withProgress } from "./base/progress_line.ts";
import { withClient } from "./base/with_client.ts";
import { within } from "./base/within.ts";
import { rawOf } from "../base_client.ts";

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
