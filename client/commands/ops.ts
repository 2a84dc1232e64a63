/** `sd ops`: what can be submitted now. */

import { nearest } from "../../cli/nearest.ts";
import { defineCommand } from "../../cli/command.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { EXIT } from "../../cli/exit.ts";
import { printData } from "../../cli/report.ts";
import { print } from "../../cli/talk.ts";
import { quote, SdError } from "../../protocol/errors.ts";
import type { OpView } from "../../protocol/task.ts";
import { opDetails, opTable } from "./base/op_text.ts";
import { withClient } from "./base/with_client.ts";

export const ops = defineCommand({
  name: "ops",
  summary: "list the ops that can be submitted, and how many workers have each",
  positional: "[NAME]",
  maxArgs: 1,
  flags: CLIENT_FLAGS,
  examples: [
    ["sd ops", "one op a line"],
    ["sd ops resize", "all that is known of it, with the schema of its arguments"],
  ],
  notes: ["Exit: 0 done, 7 no such op."],
  async run({ flags, args: [name] }) {
    const all = await withClient({ flags }, (client) => client.ops());
    const list = name === undefined ? all : [find(all, name)];
    if (flags.json) printData({ ops: list });
    else print(name === undefined ? opTable(list) : list.map(opDetails).join("\n"));
    return EXIT.ok;
  },
});

function find(all: readonly OpView[], name: string): OpView {
  const found = all.find(({ op }) => op === name);
  if (found) return found;
  const meant = nearest(name, all.map(({ op }) => op));
  const hint = meant === undefined ? "" : `; did you mean ${quote(meant)}?`;
  throw new SdError("unknown_op", `no worker has an op ${quote(name)}${hint}`);
}
