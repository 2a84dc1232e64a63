/**
 * What a test needs beside Deno: a shell, a compiler, a right. Without it the test is left out on a person's
 * machine and says so by its name; where `CI=true` everything must be shown, so there it runs, and fails.
 */

const IN_CI = Deno.env.get("CI") === "true";

/** Whether each of `programs` is there; asked of the shell. */
export async function isInstalled(...programs: readonly string[]): Promise<boolean> {
  const { success } = await new Deno.Command("sh", {
    args: ["-c", programs.map((program) => `command -v ${program}`).join(" && ")],
    stdout: "null",
    stderr: "null",
  }).output();
  return success;
}

/** Makes the options of `Deno.test` for a claim whose test needs `what`. */
export function needing(
  what: string,
  isHere: boolean,
): (claim: string) => { name: string; ignore: boolean } {
  const ignore = !isHere && !IN_CI;
  return (claim) => ({ name: ignore ? `${claim}: skipped, it needs ${what}` : claim, ignore });
}
