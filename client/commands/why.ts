/** `sd why`: explains in a sentence why a task is not running. */

import { defineCommand } from "../../cli/command.ts";
import { EXIT } from "../../cli/exit.ts";
import { printData } from "../../cli/report.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { escapeControls, print } from "../../cli/talk.ts";
import type { Why } from "../../protocol/task.ts";
import { talk } from "./base/output.ts";
import { withClient } from "./base/with_client.ts";

export const why = defineCommand({
  name: "why",
  summary: "explain why a task is not running",
  positional: "ID",
  minArgs: 1,
  flags: CLIENT_FLAGS,
  examples: [[
    "sd why 0193a1c2-…",
    "prints for example: it waits for its turn: 1,204 tasks are before it",
  ]],
  notes: ["Exit: 0 for any reason, 5 no such task."],
  async run({ flags, args }) {
    const [id = ""] = args;
    const reason = await withClient({ flags }, (client) => client.why(id));
    if (flags.json) printData(reason);
    else {
      print(escapeControls(reason.why));
      const next = nextOf(reason);
      if (next !== undefined) talk(next);
    }
    return EXIT.ok;
  },
});

/** The next command to type, if the reason does not contain one. */
function nextOf({ code, status, task_id }: Why): string | undefined {
  if (code === "no_worker") {
    return "list the ops with: sd ops; add workers with: sd work";
  }
  if (code === "running") return `wait for it with: sd wait ${task_id}`;
  if (code !== "final") return undefined;
  return status === "completed"
    ? `its result: sd result ${task_id}`
    : `run it again with: sd retry ${task_id}`;
}
