/**
 * The plain English that a machine can hold: words that a reader must decode, and the length of a sentence, in comments,
 * docstrings, texts for people (help, errors, log lines) and documents.
 */

import { assertEquals } from "@std/assert";
import ts from "typescript";

const ROOT = new URL("../../", import.meta.url);
const CODE = ["main.ts", "protocol", "net", "cli", "client", "workers", "server"];
const DOCUMENTS = ["README.md", "docs"];
/** Most words of a sentence. */
const MAX_WORDS = 28;

/** What not to write, and what to write instead. */
const BANNED: readonly (readonly [RegExp, string])[] = [
  [/\bwhoever\b|\bwho\b/i, "name the subject: the client, the caller, the worker"],
  [/\bnobody\b|\bno one\b/i, 'name the subject: "no client", "nothing"'],
  [/\bthose (that|who|which|of)\b/i, "name the things"],
  [/\b(un)?told\b|\btells?\b|\btelling\b/i, "report, return, reply, log or publish"],
  [/\bso (many|much|long|few|often)\b/i, "up to N; a number and a unit"],
  [/\bfor one\b/i, "for example"],
  [/\bat hand\b/i, "in memory"],
  [/\banew\b/i, "again"],
  [/\b(is|are|was|were) to\b/i, "must, can or will"],
  [/\bgive[ns]? up\b|\bgiving up\b/i, "roll back, remove or stop waiting"],
  [/\bgone by\b|\bmeans? nothing\b|\bno trouble\b|\bin vain\b/i, "say it plainly"],
  [/\ball the same\b|\bone day\b|\bnonetheless\b|\bwhatsoever\b/i, "leave it out"],
  [/\b(some|any)(body|one)\b|\bwhichever\b/i, "name the subject"],
  [/^(What|Those)\b(?! (is|are|can|does|do) )/, "begin with the thing that is meant"],
  [/\bwhere (there (is|are|was|were)|it (has|had|is none))\b/i, "if"],
  [/\bsome day\b/i, "a time with its unit"],
  [/\bof use\b|\bheed(s|ed)?\b|\bspeaks? of\b|\bin step\b/i, "say it plainly"],
];

/** Strings that are scripts (of Redis, they begin with `--`) or SQL. */
const IS_CODE = /^#|^--|^\s*(?:CREATE|SELECT|INSERT|UPDATE|DELETE|PRAGMA|FROM|WHERE)\b/;

interface Passage {
  readonly place: string;
  readonly text: string;
}

function* filesIn(path: string, ending: string): Generator<string> {
  if (path.endsWith(ending)) return yield path;
  for (const entry of Deno.readDirSync(new URL(`${path}/`, ROOT))) {
    if (entry.isDirectory) yield* filesIn(`${path}/${entry.name}`, ending);
    else if (entry.name.endsWith(ending)) yield `${path}/${entry.name}`;
  }
}

/** Comments, each a passage, neighbouring line comments together; and texts of three words or more in strings and templates. */
function* passagesOfCode(path: string): Generator<Passage> {
  const text = Deno.readTextFileSync(new URL(path, ROOT));
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const lineOf = (at: number) => file.getLineAndCharacterOfPosition(at).line + 1;
  const seen = new Set<number>();
  let block: { line: number; last: number; text: string } | undefined;
  const comments: { line: number; last: number; text: string }[] = [];
  const takeComments = (at: number) => {
    for (const range of ts.getLeadingCommentRanges(text, at) ?? []) {
      if (seen.has(range.pos)) continue;
      seen.add(range.pos);
      const raw = text.slice(range.pos, range.end);
      const line = lineOf(range.pos);
      const plain = raw.replace(/^\/\*+|\*+\/$/g, "").replace(/^[ \t]*(\*|\/\/)[ \t]?/gm, "");
      if (raw.startsWith("//") && block && block.last === line - 1) {
        block.text += `\n${plain}`;
        block.last = line;
      } else {
        const one = { line, last: lineOf(range.end), text: plain };
        block = raw.startsWith("//") ? one : undefined;
        comments.push(one);
      }
    }
  };
  const strings: Passage[] = [];
  const visit = (node: ts.Node) => {
    takeComments(node.getFullStart());
    if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) {
      strings.push({ place: `${path}:${lineOf(node.getStart())}`, text: node.text });
    } else if (ts.isTemplateExpression(node)) {
      const parts = [node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)];
      strings.push({ place: `${path}:${lineOf(node.getStart())}`, text: parts.join("X") });
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  takeComments(file.endOfFileToken.getFullStart());
  for (const { line, text } of comments) yield { place: `${path}:${line}`, text };
  yield* strings.filter(({ text }) => /[a-z]+ [a-z]+ [a-z]+/i.test(text) && !IS_CODE.test(text));
}

/** Paragraphs, list items and table cells; no code. */
function* passagesOfDocument(path: string): Generator<Passage> {
  const text = Deno.readTextFileSync(new URL(path, ROOT)).replace(
    /^[ \t]*```[^]*?^[ \t]*```[ \t]*$/gm,
    (code) => code.replace(/[^\n]/g, ""),
  );
  let at = 1;
  for (const part of text.split(/\n(?=\s*\n|\s*[-*|]|\s*\d+\. )/)) {
    for (const cell of part.split(/\s\|\s/)) yield { place: `${path}:${at}`, text: cell };
    at += part.split("\n").length;
  }
}

/** The sentences in `text`, without code in backticks and without examples. */
function sentencesIn(text: string): string[] {
  return text
    .replace(/```[^]*?```/g, ". ")
    .replace(/^ {4,}\S.*$/gm, ". ")
    .replace(/`[^`]*`/g, "X")
    .replace(/^@\w+.*$/gm, ". ")
    .replace(/\n\s*\n/g, ". ")
    .replace(/\n\s*([-*|]|\d+\.)\s/g, ". ")
    .split(/[.!?:;](?:[)"”]*)(?=\s|$)/);
}

function faultsIn({ place, text }: Passage): string[] {
  const faults: string[] = [];
  for (const sentence of sentencesIn(text)) {
    const plain = sentence.replace(/\s+/g, " ").trim();
    for (const [word, instead] of BANNED) {
      const found = word.exec(plain);
      if (found) faults.push(`${place}: "${found[0]}" (${instead}): ${plain.slice(0, 160)}`);
    }
    const words = plain.split(" ").filter((word) => /[a-z0-9]/i.test(word)).length;
    if (words > MAX_WORDS) faults.push(`${place}: ${words} words: ${plain.slice(0, 160)}`);
  }
  return faults;
}

/** All faults below `paths`, files or folders; of all of the project by default. */
export function proseFaults(paths: readonly string[] = [...CODE, ...DOCUMENTS]): string[] {
  const passages = paths.flatMap((path) => {
    const code = path.endsWith(".md") ? [] : [...filesIn(path, ".ts")];
    const documents = path.endsWith(".ts") ? [] : [...filesIn(path, ".md")];
    return [
      ...code.flatMap((file) => [...passagesOfCode(file)]),
      ...documents.flatMap((file) => [...passagesOfDocument(file)]),
    ];
  });
  return passages.flatMap(faultsIn);
}

Deno.test("comments, texts and documents are in plain English", () => {
  assertEquals(proseFaults(), []);
});

Deno.test("what the prose test is for is found, and plain sentences are not", () => {
  const faultsOf = (text: string) => faultsIn({ place: "", text }).length;
  assertEquals(faultsOf("Whoever asks while it is under way."), 1);
  assertEquals(faultsOf("A read during `submit` waits for it."), 0);
  assertEquals(faultsOf(`${"word ".repeat(MAX_WORDS)}.`), 0);
  assertEquals(faultsOf(`${"word ".repeat(MAX_WORDS + 1)}.`), 1);
  assertEquals(faultsOf(`${"word ".repeat(MAX_WORDS)}. ${"word ".repeat(MAX_WORDS)}.`), 0);
});
