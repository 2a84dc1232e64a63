/** `sd pause` and `sd resume`: stop and start the hand-out of tasks, for some ops or for all. */

import { type Command, defineCommand } from "../../cli/command.ts";
import { EXIT } from "../../cli/exit.ts";
import { printData } from "../../cli/report.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { escapeControls, print } from "../../cli/talk.ts";
import { ClientError } from "../../net/client_error.ts";
import { talk } from "./base/output.ts";
import { withClient } from "./base/with_client.ts";

interface PauseSpec {
  readonly name: "pause" | "resume";
  readonly summary: string;
  readonly examples: readonly (readonly [commandLine: string, whatItDoes: string])[];
  readonly notes: readonly string[];
}

function pauseCommand({ name, ...face }: PauseSpec): Command {
  return defineCommand({
    ...face,
    name,
    positional: "[OP…]",
    maxArgs: Infinity,
    flags: {
      ...CLIENT_FLAGS,
      all: { type: "boolean", help: "every op, including ops that no worker has yet" },
    },
    async run({ flags, args: ops }) {
      if (flags.all === ops.length > 0) {
        throw new ClientError("usage", `sd ${name} takes either ops or --all`, {
          hint: "list the ops with: sd ops",
        });
      }
      const paused = await withClient({ flags }, async (client) => {
        let paused: string[] = [];
        for (const op of flags.all ? [undefined] : ops) paused = await client[name](op);
        return paused;
      });
      if (flags.json) printData({ paused });
      else if (paused.length === 0) talk("nothing is paused");
      else for (const op of paused) print(op === "*" ? "all ops" : escapeControls(op));
      return EXIT.ok;
    },
  });
}

export const pause = pauseCommand({
  name: "pause",
  summary: "stop handing out tasks of some ops, or of all",
  examples: [
    ["sd pause resize", "its tasks are accepted, and wait until: sd resume resize"],
    ["sd pause --all", "no task starts; running tasks go on"],
  ],
  notes: [
    "Prints the ops that are paused then. A pause survives a restart of the server, except with --engine memory:. Recurring " +
    "tasks are paused with: sd cron pause ID",
  ],
});

export const resume = pauseCommand({
  name: "resume",
  summary: "hand out tasks of paused ops again",
  examples: [
    ["sd resume resize", "its tasks run again"],
    ["sd resume --all", "every op, including ops that were paused one by one"],
  ],
  notes: ["Prints the ops that are still paused."],
});
