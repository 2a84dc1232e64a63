/**
 * `deno task docs`: prints the clients of `examples/clients` into `docs/clients.md`, between its two marks, so
 * that the document shows exactly what the tests run. A test holds the two equal.
 */

const ROOT = new URL("../", import.meta.url);
const DOCUMENT = new URL("docs/clients.md", ROOT);
const CLIENTS = new URL("examples/clients/", ROOT);
const BEGIN = "<!-- clients: printed by `deno task docs` -->\n";
const END = "<!-- end of clients -->\n";

/** In the order of the document: the file, the name of its language, that of its colours. */
const LANGUAGES: readonly (readonly [file: string, name: string, colours: string])[] = [
  ["client.py", "Python", "python"],
  ["client.sh", "Bash", "bash"],
  ["client.go", "Go", "go"],
  ["client.rs", "Rust", "rust"],
  ["Client.java", "Java", "java"],
  ["client.rb", "Ruby", "ruby"],
  ["client.php", "PHP", "php"],
  ["client.pl", "Perl", "perl"],
  ["client.c", "C", "c"],
];

/** The document with the clients as they are now. */
export function withClients(document: string): string {
  const [before, rest] = document.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) {
    throw new Error(`docs/clients.md has lost its marks ${BEGIN.trim()} and ${END.trim()}`);
  }
  const printed = LANGUAGES.map(([file, name, colours]) => {
    const text = Deno.readTextFileSync(new URL(file, CLIENTS)).trimEnd();
    const link = `[examples/clients/${file}](../examples/clients/${file})`;
    return `### ${name}\n\n${link}\n\n\`\`\`${colours}\n${text}\n\`\`\`\n`;
  });
  return `${before}${BEGIN}\n${printed.join("\n")}\n${END}${after}`;
}

export function readClients(): string {
  return Deno.readTextFileSync(DOCUMENT);
}

if (import.meta.main) Deno.writeTextFileSync(DOCUMENT, withClients(readClients()));
