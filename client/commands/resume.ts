/** `sd resume`: hands out tasks of paused ops again. */

import { defineCommand } from "../../cli/command.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { ALL_FLAG, setPaused } from "./bulk/set_paused.ts";

export const resume = defineCommand({
  name: "resume",
  summary: "hand out tasks of paused ops again",
  positional: "[OP…]",
  maxArgs: Infinity,
  flags: { ...CLIENT_FLAGS, ...ALL_FLAG },
  examples: [
    ["sd resume resize", "its tasks run again"],
    ["sd resume --all", "those of every op, also of ops paused one by one"],
  ],
  notes: ["Prints what is still paused then."],
  run: ({ flags, args: ops }) => setPaused({ name: "resume", flags, ops }),
});
