/**
 * `deno task starter`: puts the text of the files in `examples/starter` into `client/commands/starter/starter_files.ts`, so
 * that `sd init` has them wherever it runs. A test holds the two equal.
 */

const ROOT = new URL("../", import.meta.url);
const SOURCE = new URL("examples/starter/", ROOT);
const MODULE = new URL("client/commands/starter/starter_files.ts", ROOT);

/** What `client/commands/starter/starter_files.ts` should be, by the files as they are now. */
export function starterModule(): string {
  const names = [...Deno.readDirSync(SOURCE)].map(({ name }) => name).sort();
  const members = names.map((name) => {
    const text = Deno.readTextFileSync(new URL(name, SOURCE)).replace(/[\\`]|\$\{/g, "\\$&");
    return `  ${JSON.stringify(name)}: \`\\\n${text}\`,\n`;
  });
  return `/**
 * The files that \`sd init\` writes, by their names: those of \`examples/starter\`, put here by
 * \`deno task starter\`. Change them there.
 */

export const STARTER_FILES = {
${members.join("")}} as const;
`;
}

export function readStarterModule(): string {
  return Deno.readTextFileSync(MODULE);
}

if (import.meta.main) Deno.writeTextFileSync(MODULE, starterModule());
