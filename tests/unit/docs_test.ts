/** The documents agree with the program, as far as a test can compare the two. */

import { assert, assertEquals } from "@std/assert";
import { FAILURE_CODES, REFUSAL_CODES } from "../../protocol/errors.ts";
import { readClients, withClients } from "../../scripts/client_docs.ts";
import { readDocument, withTranscripts } from "../../scripts/protocol_docs.ts";

Deno.test("docs/protocol.md prints the transcripts that the tests replay", () => {
  const document = readDocument();
  assertEquals(document, withTranscripts(document), "run: deno task docs");
});

Deno.test("docs/clients.md prints the clients that the tests run", () => {
  const document = readClients();
  assertEquals(document, withClients(document), "run: deno task docs");
});

Deno.test("docs/protocol.md describes every error code", () => {
  const document = readDocument();
  const missing = [...REFUSAL_CODES, ...FAILURE_CODES].filter((code) =>
    !new RegExp(`^\\| .*\`${code}\`.* \\|`, "m").test(document)
  );
  assertEquals(missing, []);
});

const ROOT = new URL("../../", import.meta.url);

/** Every document, by its path. */
function documents(): Map<string, string> {
  const found = new Map<string, string>();
  const walk = (folder: string) => {
    for (const { name, isDirectory } of Deno.readDirSync(new URL(folder, ROOT))) {
      if (isDirectory) walk(`${folder}${name}/`);
      else if (name.endsWith(".md")) {
        const path = `${folder}${name}`;
        found.set(path, Deno.readTextFileSync(new URL(path, ROOT)));
      }
    }
  };
  for (const folder of ["docs/", "examples/"]) walk(folder);
  for (const name of ["README.md", "README.es.md", "CHANGELOG.md"]) {
    found.set(name, Deno.readTextFileSync(new URL(name, ROOT)));
  }
  return found;
}

/** The anchors that a reader of Markdown finds in a document: its headings, in small letters, without punctuation. */
function anchorsOf(text: string): string[] {
  return [...text.replace(/^```[^]*?^```/gm, "").matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading.toLowerCase().replace(/[^\p{L}\p{N}_ -]/gu, "").replaceAll(" ", "-")
  );
}

Deno.test("every link within the documents leads to a file, and to a heading that is in it", () => {
  const all = documents();
  const broken: string[] = [];
  for (const [path, text] of all) {
    const prose = text.replace(/^```[^]*?^```/gm, "");
    for (const [, link = ""] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(link)) continue;
      const [file = "", anchor] = link.split("#");
      const target = file === ""
        ? path
        : new URL(file, new URL(path, ROOT)).href.slice(ROOT.href.length);
      const exists = all.has(target) || existsAt(target);
      const isThere = anchor === undefined || anchorsOf(all.get(target) ?? "").includes(anchor);
      if (!exists || !isThere) broken.push(`${path}: ${link}`);
    }
  }
  assertEquals(broken, []);
});

function existsAt(path: string): boolean {
  try {
    Deno.statSync(new URL(path, ROOT));
    return true;
  } catch {
    return false;
  }
}

Deno.test("no document shows a path of the machine that it was written on, or control sequences", () => {
  const wrong = [...documents()].flatMap(([path, text]) =>
    text.split("\n").filter((line) =>
      // deno-lint-ignore no-control-regex
      /\/(root|home\/\w+|tmp\/sd-)\b|cache file '|[\x00-\x08\x0b-\x1f]/.test(line)
    ).map((line) => `${path}: ${line}`)
  );
  assertEquals(wrong, []);
});

/** Documents of the past: they name files as these were then. */
const HISTORY = ["CHANGELOG.md", "docs/decisions.md"];

/** The paths of all files in `folder`, from the root. */
function* filesBelow(folder = ""): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(new URL(`./${folder}`, ROOT))) {
    if (!isDirectory) yield `${folder}${name}`;
    else if (!name.startsWith(".") && name !== "node_modules") {
      yield* filesBelow(`${folder}${name}/`);
    }
  }
}

Deno.test("every file that a document names is there", () => {
  const paths = new Set(filesBelow());
  const folders = new Set([...paths].map((path) => path.split("/")[0]));
  const isThere = (named: string) =>
    folders.has(named.split("/")[0]) && named.includes("/")
      ? paths.has(named)
      : [...paths].some((path) => path.endsWith(`/${named}`));
  const missing = [...documents()].filter(([path]) => !HISTORY.includes(path)).flatMap(
    ([path, text]) =>
      [
        ...text.replace(/^```[^]*?^```/gm, "").matchAll(
          /`([\w./-]+_[\w./-]*\.ts|\w+\/[\w./-]+\.ts)`/g,
        ),
      ]
        .filter(([, named = ""]) => !isThere(named)).map(([, named]) => `${path}: ${named}`),
  );
  assertEquals(missing, []);
});

Deno.test("the README opens with the two commands that do everything", () => {
  const readme = Deno.readTextFileSync(new URL("README.md", ROOT));
  const opening = readme.slice(0, 1500);
  for (const command of ["npx -y deno@2.9.6 task demo", "npx -y deno@2.9.6 task test"]) {
    assert(opening.includes(command), command);
  }
});

Deno.test("the README and the architecture page stay short: at most 200 lines each", () => {
  for (const [path, text] of documents()) {
    if (path !== "README.md" && path !== "docs/architecture.md") continue;
    assert(text.split("\n").length <= 201, `${path}: ${text.split("\n").length} lines`);
  }
});
