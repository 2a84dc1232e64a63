/**
 * The words that can come next on a command line, found in the declarations of the commands: names, flags, choices
 * of a flag, and the meaning of words of usage (`ID`, `OP`, `FILE`). Nothing here connects to a server.
 */

import type { Command, CommandEntry } from "../command.ts";
import type { FlagSpec } from "../flag_spec.ts";
import { splitFlag, type Token, tokensOf } from "../flags.ts";

/** Sources of values that only the server, the files of the user or the shell know. */
export type Source = "tasks" | "ops" | "crons" | "contexts" | "files" | "folders";

export interface Candidate {
  value: string;
  about?: string;
}

export interface Completion {
  candidates: Candidate[];
  /** The source of further candidates. */
  source?: Source;
  /** The text before a value of the source, as in `--op=`. */
  prefix: string;
  /** The beginning of a value of the source. */
  start: string;
}

const SOURCES: ReadonlyMap<string, Source> = new Map<string, Source>([
  ["ID", "tasks"],
  ["OP", "ops"],
  ["CRON_ID", "crons"],
  ["CONTEXT", "contexts"],
  ["FILE", "files"],
  ["TASKS.ts", "files"],
  ["PATH", "files"],
  ["DIR", "folders"],
]);
/** For arguments `NAME` is an op, as in `sd ops NAME`; for flags it is not. */
const ARGUMENT_SOURCES: ReadonlyMap<string, Source> = new Map([...SOURCES, ["NAME", "ops"]]);

const TOP_LEVEL: readonly Candidate[] = [
  { value: "help", about: "help for a command" },
  { value: "--help", about: "help for all commands" },
  { value: "--version", about: "print the version" },
];

/** Completions of `words`, the words after `sd`. The last of them is being typed. */
export async function completionsOf(
  words: readonly string[],
  commands: ReadonlyMap<string, CommandEntry>,
): Promise<Completion> {
  const start = words.at(-1) ?? "";
  const [name, ...given] = words.slice(0, -1);
  const names = [...commands].map(([value, { summary }]) => ({ value, about: summary }));
  if (name === undefined) {
    // Flags are shown only after a dash was typed.
    const all = start.startsWith("-") ? TOP_LEVEL : [...names, ...TOP_LEVEL.slice(0, 1)];
    return only(all, start);
  }
  if (name === "help") return given.length === 0 ? only(names, start) : NOTHING;
  const entry = commands.get(name);
  return entry ? ofCommand(await entry.load(), given, start) : NOTHING;
}

const NOTHING: Completion = { candidates: [], prefix: "", start: "" };

function ofCommand(command: Command, given: readonly string[], start: string): Completion {
  const tokens = tokensOf(command.flags);
  const { args, awaiting, flagsEnded } = readTyped(given, tokens);
  if (awaiting) return valuesOf(awaiting.spec, { prefix: "", start });
  if (!flagsEnded && start.startsWith("-")) {
    const { head, attached } = splitFlag(start);
    if (attached === undefined || !head.startsWith("--")) return only(flagsOf(tokens), start);
    const spec = tokens.get(head)?.spec;
    return spec ? valuesOf(spec, { prefix: `${head}=`, start: attached }) : NOTHING;
  }
  return argumentOf(command, { position: args.length, start });
}

/** The words before the one that is being typed, parsed. */
interface Typed {
  readonly args: string[];
  /** Values of flags by name; the last of a repeated flag. */
  readonly values: Map<string, string>;
  /** The flag whose value is being typed. */
  awaiting: Token | undefined;
  flagsEnded: boolean;
}

/** Parses words leniently: unknown flags are skipped, nothing is refused. */
export function readTyped(given: readonly string[], tokens: ReadonlyMap<string, Token>): Typed {
  const typed: Typed = { args: [], values: new Map(), awaiting: undefined, flagsEnded: false };
  for (const word of given) {
    const { head, attached } = splitFlag(word);
    const token = tokens.get(head);
    if (typed.awaiting) {
      typed.values.set(typed.awaiting.flag, word);
      typed.awaiting = undefined;
    } else if (typed.flagsEnded || !/^-./.test(word)) typed.args.push(word);
    else if (word === "--") typed.flagsEnded = true;
    else if (token && attached === undefined && takesNext(token.spec)) typed.awaiting = token;
    else if (token) typed.values.set(token.flag, attached ?? "true");
  }
  return typed;
}

function takesNext(spec: FlagSpec): boolean {
  return spec.type !== "boolean" && spec.type !== "grant";
}

function flagsOf(tokens: ReadonlyMap<string, Token>): Candidate[] {
  return [...tokens].filter(([name, { spec }]) => name.startsWith("--") && !spec.hidden)
    .map(([value, { spec }]) => ({ value, about: spec.help }));
}

function valuesOf(spec: FlagSpec, typed: { prefix: string; start: string }): Completion {
  if (spec.type === "boolean") return NOTHING;
  if (spec.type === "string" && spec.choices) {
    const all = spec.choices.map((choice) => ({ value: `${typed.prefix}${choice}` }));
    return only(all, `${typed.prefix}${typed.start}`);
  }
  const { prefix, start } = spec.type === "string" ? typed : afterComma(typed);
  const source = SOURCES.get(spec.value.replace(/,.*$/, ""));
  return { candidates: [], prefix, start, ...(source && { source }) };
}

/** Drops all values of a list but the last, which is being typed. */
function afterComma({ prefix, start }: { prefix: string; start: string }) {
  const end = start.lastIndexOf(",") + 1;
  return { prefix: prefix + start.slice(0, end), start: start.slice(end) };
}

/** `[pause|resume|rm CRON_ID…]` → `pause|resume|rm`, `CRON_ID…`. */
function argumentOf(
  { positional = "" }: Command,
  { position, start }: { position: number; start: string },
): Completion {
  const slots = positional.replace(/[[\]]/g, "").replace(/ …/g, "…").split(" ");
  const last = slots.at(-1) ?? "";
  const slot = slots[position] ?? (last.endsWith("…") ? last : "");
  if (slot.includes("|")) return only(slot.split("|").map((value) => ({ value })), start);
  const source = ARGUMENT_SOURCES.get(slot.replace(/…$/, ""));
  return { candidates: [], prefix: "", start, ...(source && { source }) };
}

function only(candidates: readonly Candidate[], start: string): Completion {
  return {
    candidates: candidates.filter(({ value }) => value.startsWith(start)),
    prefix: "",
    start,
  };
}
