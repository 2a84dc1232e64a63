/** `sd completions`: prints the script by which a shell completes commands, flags, ops and ids. */

import { ClientError } from "../../net/client_error.ts";
import { defineCommand } from "../../cli/command.ts";
import { COMPLETION_SCRIPTS, isShell, SHELLS } from "../../cli/completion/completion_scripts.ts";
import { EXIT } from "../../cli/exit.ts";
import { printData } from "../../cli/report.ts";
import { print } from "../../cli/talk.ts";
import { quote } from "../../protocol/errors.ts";

export const completions = defineCommand({
  name: "completions",
  summary: "print the script by which a shell completes sd",
  positional: SHELLS.join("|"),
  minArgs: 1,
  flags: {},
  examples: [
    ["source <(sd completions bash)", "in this shell; for good, in ~/.bashrc"],
    ["sd completions zsh > ~/.zfunc/_sd", "in a folder of $fpath"],
    ["sd completions fish > ~/.config/fish/completions/sd.fish", "loaded by itself"],
    ["sd completions powershell | Out-String | Invoke-Expression", "in $PROFILE"],
  ],
  notes: [
    "Commands and flags are those of the sd that is found in PATH; ops and ids are asked of the server " +
    "that the line names, for a second at most.",
  ],
  run({ flags, args: [shell = ""] }) {
    if (!isShell(shell)) {
      throw new ClientError("usage", `there is no script for ${quote(shell)}`, {
        hint: `there is one for ${SHELLS.join(", ")}`,
      });
    }
    const script = COMPLETION_SCRIPTS[shell];
    if (flags.json) printData({ shell, script });
    else print(script);
    return Promise.resolve(EXIT.ok);
  },
});
