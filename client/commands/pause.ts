/** `sd pause`: hands out no tasks of some ops, or of any. */

import { defineCommand } from "../../cli/command.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { ALL_FLAG, setPaused } from "./bulk/set_paused.ts";

export const pause = defineCommand({
  name: "pause",
  summary: "hand out no tasks of some ops, or of any",
  positional: "[OP…]",
  maxArgs: Infinity,
  flags: { ...CLIENT_FLAGS, ...ALL_FLAG },
  examples: [
    ["sd pause resize", "its tasks are taken, and wait until: sd resume resize"],
    ["sd pause --all", "nothing starts; what runs goes on"],
  ],
  notes: [
    "Prints what is paused then. Pauses outlive a restart of the server, where its engine does. " +
    "Recurring tasks are paused with: sd cron pause ID",
  ],
  run: ({ flags, args: ops }) => setPaused({ name: "pause", flags, ops }),
});
