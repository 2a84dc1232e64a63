/** `sd cron`: lists the recurring tasks of a server; pauses, resumes or removes some by id. */

import { ClientError } from "../../net/client_error.ts";
import { defineCommand } from "../../cli/command.ts";
import { EXIT, type ExitCode, exitCodeOf } from "../../cli/exit.ts";
import { type ErrorReport, printData, reportError, reportOf } from "../../cli/report.ts";
import { nearest } from "../../cli/nearest.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { escapeControls, print } from "../../cli/talk.ts";
import { quote } from "../../protocol/errors.ts";
import type { CronAnswer, CronView } from "../../protocol/task.ts";
import type { Client } from "../client.ts";
import { talk } from "./base/output.ts";
import { alignedTable } from "./base/table.ts";
import { withClient } from "./base/with_client.ts";

const HEADINGS = ["ID", "OP", "CRON", "TZ", "CATCH-UP", "NEXT", "LAST"];

type Action = (client: Client, id: string) => Promise<CronAnswer>;

const ACTIONS: ReadonlyMap<string, Action> = new Map<string, Action>([
  ["pause", (client, id) => client.pauseCron(id)],
  ["resume", (client, id) => client.resumeCron(id)],
  ["rm", (client, id) => client.removeCron(id)],
]);

export const cron = defineCommand({
  name: "cron",
  summary: "list, pause, resume and remove recurring tasks",
  positional: "[pause|resume|rm CRON_ID…]",
  maxArgs: Infinity,
  flags: CLIENT_FLAGS,
  examples: [
    ["sd cron", "list all, with the next and the last run"],
    ["sd cron pause nightly", "no runs until: sd cron resume nightly"],
    ["sd cron rm nightly weekly", "remove them; tasks that were submitted go on"],
  ],
  notes: [
    "sd submit --cron makes a recurring task. Each of its tasks has the id ID:TIME. For example: " +
    "sd result nightly:2030-01-31T02:00:00Z",
    "Exit: 0 done, 5 no such recurring task.",
  ],
  async run({ flags, args: [name, ...ids] }) {
    const action = name === undefined ? undefined : actionOf(name, ids);
    return await withClient({ flags }, async (client) => {
      if (!action) return printAll(await client.crons(), flags);
      return await toEach(ids, (id) => action(client, id), flags);
    });
  },
});

function actionOf(name: string, ids: readonly string[]): Action {
  const action = ACTIONS.get(name);
  if (!action) {
    const meant = nearest(name, [...ACTIONS.keys()]);
    throw new ClientError("usage", `sd cron has no subcommand ${quote(name)}`, {
      hint: meant ? `did you mean sd cron ${meant}?` : "the subcommands are pause, resume and rm",
    });
  }
  if (ids.length > 0) return action;
  throw new ClientError("usage", `the id is missing; the usage is: sd cron ${name} ID…`, {
    hint: "list the recurring tasks with: sd cron",
  });
}

function printAll(crons: CronView[], { json }: { json: boolean }): ExitCode {
  if (json) printData({ crons });
  else if (crons.length === 0) talk("no recurring tasks");
  else print(alignedTable([HEADINGS, ...crons.map(rowOf)]));
  return EXIT.ok;
}

function rowOf(view: CronView): string[] {
  const next = view.paused ? "paused" : view.next_at ?? "never";
  const { cron_id, op, cron, tz, catch_up, last_at = "" } = view;
  return [cron_id, op, cron, tz, catch_up, next, last_at];
}

/** Acts on one id after another; the first error sets the exit code. */
async function toEach(
  ids: readonly string[],
  act: (id: string) => Promise<CronAnswer>,
  { json }: { json: boolean },
): Promise<ExitCode> {
  const crons: (CronAnswer | { cron_id: string; error: Pick<ErrorReport, "code" | "message"> })[] =
    [];
  let failure: ErrorReport | undefined;
  for (const id of ids) {
    try {
      const answer = await act(id);
      crons.push(answer);
      if (!json) print(`${escapeControls(answer.cron_id)} ${answer.status}`);
    } catch (error) {
      const report = cronReport(error);
      if (!report || report.code === "unreachable") throw error;
      const { code, message } = report;
      crons.push({ cron_id: id, error: { code, message } });
      failure ??= report;
      if (!json) reportError(report, { json });
    }
  }
  if (!json) return failure ? exitCodeOf(failure.code) : EXIT.ok;
  if (failure) return reportError(failure, { json, data: { crons } });
  printData({ crons });
  return EXIT.ok;
}

function cronReport(error: unknown): ErrorReport | undefined {
  const report = reportOf(error);
  // The usual hint is for tasks.
  if (report?.code === "not_found") report.hint = "list the recurring tasks with: sd cron";
  return report;
}
