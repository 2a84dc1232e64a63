/** The commands for recurring tasks: what each takes, checked, and the use case it calls. */

import { quote, SdError } from "../../../protocol/errors.ts";
import type { JsonObject } from "../../../protocol/message.ts";
import type { CronApi } from "../../api/cron_api.ts";

export interface CronContext {
  readonly crons: CronApi;
}

export const CRON_COMMANDS: readonly (readonly [
  name: string,
  command: (context: CronContext, message: JsonObject) => Promise<object> | object,
])[] = [
  ["crons", ({ crons }) => crons.list()],
  ["uncron", ({ crons }, message) => crons.remove(readCronId(message))],
];

function readCronId(message: JsonObject): string {
  const id = message.cron_id;
  if (typeof id === "string") return id;
  throw new SdError(
    "bad_request",
    `${message.cmd} needs cron_id, a string, like {"cmd":"${message.cmd}","cron_id":"nightly"}; this is ${
      quote(id)
    }`,
  );
}
