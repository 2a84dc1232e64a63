/** `sd backup`: a copy of everything that the server keeps, in a file, while it runs. */

import { ClientError } from "../../net/client_error.ts";
import { defineCommand } from "../../cli/command.ts";
import { EXIT } from "../../cli/exit.ts";
import { printData } from "../../cli/report.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { stdoutIsTerminal, writeBytes } from "../../cli/talk.ts";
import { quote } from "../../protocol/errors.ts";
import { openBackupFile } from "./backup_file.ts";
import { talk } from "./base/output.ts";
import { withCommas } from "./base/table.ts";
import { withClient } from "./base/with_client.ts";

export const backupCommand = defineCommand({
  name: "backup",
  summary: "copy everything that the server keeps to a file, while it runs",
  positional: "FILE",
  minArgs: 1,
  flags: {
    ...CLIENT_FLAGS,
    force: { type: "boolean", help: "replace FILE where it is there already" },
  },
  examples: [
    ["sd backup monday.db", "serve it again with: sd serve --engine sqlite:monday.db"],
    ["sd backup - | gzip > monday.db.gz", "- is stdout"],
  ],
  notes: [
    "FILE appears when it is whole and on disk; until then it is FILE.part. It cannot be a file that the " +
    "server keeps its tasks in. An engine that keeps no file is carried elsewhere with: sd export",
  ],
  async run({ flags, args }) {
    const [path = ""] = args;
    if (path === "-" && (flags.json || stdoutIsTerminal())) {
      throw new ClientError("usage", "a backup is not for a terminal, nor beside --json", {
        hint: "name a file, or pipe it: sd backup - | gzip > FILE",
      });
    }
    using file = path === "-" ? undefined : openBackupFile(path, flags.force);
    const write = (bytes: Uint8Array) =>
      file ? file.write(bytes) : void writeBytes("stdout", bytes);
    const bytes = await withClient(
      { flags },
      (client) => client.backup(write, ({ files }) => file?.begin(files)),
    );
    file?.finish();
    if (flags.json) printData({ file: path, bytes });
    else if (file) talk(`${withCommas(bytes)} bytes are in ${quote(path)}`);
    return EXIT.ok;
  },
});
