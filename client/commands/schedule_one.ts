/** `sd submit --cron`: makes a recurring task, says when it comes first, prints its id. */

import { EXIT, type ExitCode } from "../../cli/exit.ts";
import { inLanguage } from "../../cli/language.ts";
import { printData } from "../../cli/report.ts";
import type { ServerFlagValues } from "../../cli/server_flags.ts";
import { print } from "../../cli/talk.ts";
import { MESSAGES } from "./base/messages.ts";
import { talk } from "./base/output.ts";
import type { Payload } from "./input/payload.ts";
import { withClient } from "./base/with_client.ts";
import { rawOf } from "../base_client.ts";
import type { CronAnswer } from "../../protocol/task.ts";

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
