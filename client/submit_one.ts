/** `sd submit` with one task: say that it is queued, wait for its end, print its result. */

import type { ServerFlagValues } from "../cli/server_flags.ts";
import { ClientError } from "../cli/client_error.ts";
import { EXIT, type ExitCode } from "../cli/exit.ts";
import { printData } from "../cli/report.ts";
import { print } from "../cli/talk.ts";
import { formatDuration } from "../protocol/duration.ts";
import type { Submitted } from "./client.ts";
import { goesOn, talk, tellEnd } from "./output.ts";
import type { Payload } from "./payload.ts";
import { withClient } from "./with_client.ts";
import { within } from "./within.ts";

export interface OneTask {
  flags: ServerFlagValues & { json: boolean };
  payload: Payload;
  /** How long to wait for the result. */
  waitMs: number;
}

export async function submitOne({ flags, payload, waitMs }: OneTask): Promise<ExitCode> {
  let waiting: Submitted | undefined;
  const unfinished = () => waiting && goesOn([waiting.id]);
  return await withClient({ flags, unfinished }, async (client) => {
    const startedAt = performance.now();
    const task = await within(client.submitJson(payload.json, payload), {
      ms: waitMs,
      late: () => unanswered(client.target, waitMs),
    });
    talk(`task ${task.status} id=${task.id}`);
    if (!payload.wait) return tellId(task, flags);
    waiting = task;
    talk("waiting for the result…");
    const end = await within(task.end, {
      ms: Math.max(0, waitMs - (performance.now() - startedAt)),
      late: () =>
        new ClientError("timed_out", `no result after ${formatDuration(waitMs)}`, {
          hint: goesOn([task.id]),
        }),
    });
    waiting = undefined;
    if (end.status === "completed") talk("result received");
    return tellEnd(end, flags);
  });
}

function tellId(task: Submitted, { json }: { json: boolean }): ExitCode {
  if (json) printData({ task_id: task.id, status: task.status });
  else print(task.id);
  return EXIT.ok;
}

function unanswered(target: string, waitMs: number): ClientError {
  return new ClientError(
    "unreachable",
    `${target} has not answered for ${formatDuration(waitMs)}; the task may have been taken or not`,
    { hint: "see with: sd ls" },
  );
}
