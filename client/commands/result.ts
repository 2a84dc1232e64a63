/** `sd result`: prints the result of a finished task, without waiting. */

import { ClientError } from "../../net/client_error.ts";
import { defineCommand } from "../../cli/command.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { printEnd } from "./base/output.ts";
import { endOf } from "../task/task_end.ts";
import { withClient } from "./base/with_client.ts";

export const result = defineCommand({
  name: "result",
  summary: "print the result of a finished task",
  positional: "ID",
  minArgs: 1,
  flags: CLIENT_FLAGS,
  examples: [["sd result 0193a1c2-…", "print the result in the form of sd submit"]],
  notes: [
    "Exit: 0 done, 1 the task failed, 5 no such task, 6 cancelled or expired, 124 not final yet (sd wait ID waits " +
    "for it).",
  ],
  async run({ flags, args }) {
    const [id = ""] = args;
    return await withClient({ flags }, async (client) => {
      const view = await client.get(id);
      const end = endOf(view);
      if (end) return printEnd(end, flags);
      throw new ClientError("not_final", `task ${id} is ${view.status}`, {
        hint: `wait for it with: sd wait ${id}`,
      });
    });
  },
});
