/**
 * `deno task docs`: prints the transcripts of `tests/transcripts` into `docs/protocol.md`, between its
 * two marks, so that the document shows exactly what the tests replay. A test holds the two equal.
 */

const ROOT = new URL("../", import.meta.url);
const DOCUMENT = new URL("docs/protocol.md", ROOT);
const TRANSCRIPTS = new URL("tests/transcripts/", ROOT);
const BEGIN = "<!-- transcripts: printed by `deno task docs` -->\n";
const END = "<!-- end of transcripts -->\n";

/** The document with the transcripts as they are now. */
export function withTranscripts(document: string): string {
  const [before, rest] = document.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) {
    throw new Error(`docs/protocol.md has lost its marks ${BEGIN.trim()} and ${END.trim()}`);
  }
  const files = [...Deno.readDirSync(TRANSCRIPTS)].map(({ name }) => name)
    .filter((name) => name.endsWith(".txt")).sort();
  const printed = files.map((name) =>
    asMarkdown(Deno.readTextFileSync(new URL(name, TRANSCRIPTS)))
  );
  return `${before}${BEGIN}\n${printed.join("\n")}\n${END}${after}`;
}

export function readDocument(): string {
  return Deno.readTextFileSync(DOCUMENT);
}

/** The turns of a transcript stand in code blocks, the rest is text already. */
function asMarkdown(transcript: string): string {
  const isTurn = (block: string) => /^(S?[A-C]|S)[:-]/.test(block);
  return transcript.trim().split(/\n{2,}/)
    .map((block) => isTurn(block) ? "```\n" + block + "\n```" : block)
    .join("\n\n") + "\n";
}

if (import.meta.main) Deno.writeTextFileSync(DOCUMENT, withTranscripts(readDocument()));
