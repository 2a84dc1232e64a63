/** What `sd pause` and `sd resume` have in common: of which ops, one after another, and what is paused then. */

import { ClientError } from "../../../net/client_error.ts";
import type { FlagSpecs } from "../../../cli/flag_spec.ts";
import { EXIT, type ExitCode } from "../../../cli/exit.ts";
import { printData } from "../../../cli/report.ts";
import { escapeControls, print } from "../../../cli/talk.ts";
import type { ServerFlagValues } from "../../../cli/server_flags.ts";
import type { Client } from "../../client.ts";
import { talk } from "../base/output.ts";
import { withClient } from "../base/with_client.ts";

export const ALL_FLAG = {
  all: { type: "boolean", help: "every op, those not known yet too" },
} as const satisfies FlagSpecs;

export interface SetPaused {
  name: "pause" | "resume";
  flags: ServerFlagValues & { json: boolean; all: boolean };
  ops: readonly string[];
}

export async function setPaused({ name, flags, ops }: SetPaused): Promise<ExitCode> {
  if (flags.all === ops.length > 0) {
    throw new ClientError("usage", `say which ops to ${name}, or --all; not both`, {
      hint: "see which there are with: sd ops",
    });
  }
  const act = (client: Client, op?: string) =>
    name === "pause" ? client.pause(op) : client.resume(op);
  const paused = await withClient({ flags }, async (client) => {
    let paused: string[] = [];
    for (const op of flags.all ? [undefined] : ops) paused = await act(client, op);
    return paused;
  });
  if (flags.json) printData({ paused });
  else if (paused.length === 0) talk("nothing is paused");
  else for (const op of paused) print(op === "*" ? "all ops" : escapeControls(op));
  return EXIT.ok;
}
