/** `sd completions`: prints the script that completes commands, flags, ops and ids in a shell. */

import { ClientError } from "../../net/client_error.ts";
import { defineCommand } from "../../cli/command.ts";
import { COMPLETION_SCRIPTS, isShell, SHELLS } from "../../cli/completion/completion_scripts.ts";
import { EXIT } from "../../cli/exit.ts";
import { printData } from "../../cli/report.ts";
import { print } from "../../cli/talk.ts";
import { quote } from "../../protocol/errors.ts";

export const completions = defineCommand({
  name: "completions",
  summary: "print a completion script for a shell",
  positional: SHELLS.join("|"),
  minArgs: 1,
  flags: {},
  examples: [
    ["source <(sd completions bash)", "for this shell; for every shell, in ~/.bashrc"],
    ["sd completions zsh > ~/.zfunc/_sd", "a folder of $fpath"],
    ["sd completions fish > ~/.config/fish/completions/sd.fish", "loaded automatically"],
    ["sd completions powershell | Out-String | Invoke-Expression", "a line for $PROFILE"],
  ],
  notes: [
    "The script calls the sd in PATH for commands and flags. Ops and ids come from the server that the typed " +
    "line names, within a second.",
  ],
  run({ flags, args: [shell = ""] }) {
    if (!isShell(shell)) {
      throw new ClientError("usage", `there is no completion script for ${quote(shell)}`, {
        hint: `the shells are ${SHELLS.join(", ")}`,
      });
    }
    const script = COMPLETION_SCRIPTS[shell];
    if (flags.json) printData({ shell, script });
    else print(script);
    return Promise.resolve(EXIT.ok);
  },
});
