/** A program on a terminal, for tests of what it looks like there. Needs `script` of util-linux. */

import { deadline } from "@std/async/deadline";

const PATIENCE_MS = 60_000;

/** What a command line shows on a terminal, where `typed` is typed; without carriage returns. */
export async function onTerminal(
  line: string,
  { typed = "", columns = 80, env = {} }: {
    typed?: string;
    columns?: number;
    env?: Record<string, string>;
  },
): Promise<string> {
  const child = new Deno.Command("script", {
    args: ["-qec", `stty cols ${columns} rows 40; ${line}`, "/dev/null"],
    env: { SHELL: "/bin/sh", TERM: "xterm", LC_ALL: "C.UTF-8", ...env },
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(typed));
  const { stdout } = await deadline(child.output(), PATIENCE_MS);
  // Open until then: the end of what is typed would be the end of the terminal.
  await writer.close().catch(() => undefined);
  return new TextDecoder().decode(stdout).replaceAll("\r", "");
}
