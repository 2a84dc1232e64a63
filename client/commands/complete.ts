/**
 * `sd complete`, which the scripts of `sd completions` call: prints candidates for the word that is being typed, one
 * a line. A person waits at the prompt, so it ends within a second and prints no error. Values come from the
 * declarations of the commands, from the server, and from the contexts.
 */

import { type Command, type CommandEntry, defineCommand } from "../../cli/command.ts";
import {
  type Candidate,
  type Completion,
  completionsOf,
  readTyped,
  type Source,
} from "../../cli/completion/completion.ts";
import { isShell, type Shell } from "../../cli/completion/completion_scripts.ts";
import { shellWords } from "../../cli/completion/shell_words.ts";
import { DEFAULT_CONTEXT, readContexts } from "../../cli/contexts.ts";
import { EXIT } from "../../cli/exit.ts";
import { tokensOf } from "../../cli/flags.ts";
import { CLIENT_FLAGS, targetOf } from "../../cli/server_flags.ts";
import { escapeControls, print } from "../../cli/talk.ts";
import type { Target } from "../../net/target.ts";
import {
  FINAL_STATUSES,
  OPEN_STATUSES,
  RETRIABLE_STATUSES,
  type Status,
  STATUSES,
} from "../../protocol/task.ts";
import { type Client, connect } from "../client.ts";
import { within } from "./base/with_client.ts";

/** Longest wait for the server, in ms. */
const PATIENCE_MS = 1000;

/** The command, for completions of `commands`. */
export function completeFrom(commands: ReadonlyMap<string, CommandEntry>): Command {
  return defineCommand({
    name: "complete",
    summary: "",
    positional: "SHELL -- WORD…",
    maxArgs: Infinity,
    flags: {},
    examples: [],
    async run({ args: [shell = "", ...typed] }) {
      if (!isShell(shell)) return EXIT.ok;
      const line = readLine(shell, typed);
      try {
        const late = () => new Error("the server is too slow");
        const lines = await within(linesFor(line, commands), { ms: PATIENCE_MS, late });
        if (lines.length > 0) print(lines.join("\n"));
      } catch {
        // There is no server, or a flag before the cursor is wrong: there are no candidates.
      }
      return EXIT.ok;
    },
  });
}

interface TypedLine {
  shell: Shell;
  /** The words after `sd`; the last one is being typed. */
  words: string[];
  /** Length of the beginning of that word that the shell keeps. */
  kept: number;
}

function readLine(shell: Shell, typed: readonly string[]): TypedLine {
  if (shell === "bash") {
    const [breaks = "", text = ""] = typed;
    const words = shellWords(text).slice(1);
    const word = words.at(-1) ?? "";
    const isBreak = (char: string) => (char === "=" || char === ":") && breaks.includes(char);
    return { shell, words, kept: [...word].findLastIndex(isBreak) + 1 };
  }
  const words = shell === "powershell"
    ? typed.map((word, i) => i === typed.length - 1 ? word.slice(1) : word)
    : [...typed];
  return { shell, words, kept: 0 };
}

async function linesFor(
  { shell, words, kept }: TypedLine,
  commands: ReadonlyMap<string, CommandEntry>,
): Promise<string[]> {
  const found = await completionsOf(words, commands);
  if (found.source === "files" || found.source === "folders") return [`:${found.source}`];
  const looked = found.source === undefined ? [] : await look(found, words);
  return [...found.candidates, ...looked].map((candidate) => lineOf(shell, candidate, kept));
}

async function look(found: Completion, words: readonly string[]): Promise<Candidate[]> {
  const { source, prefix, start } = found;
  if (source === undefined || source === "files" || source === "folders") return [];
  const [command = "", ...given] = words.slice(0, -1);
  const values = await valuesOf({ source, command, target: () => targetIn(given) });
  // An id is not offered twice on one line.
  const used = new Set([...given, ...prefix.split(/[,=]/)]);
  return values.filter(({ value }) => value.startsWith(start) && !used.has(value))
    .map(({ value, ...rest }) => ({ value: prefix + value, ...rest }));
}

/** The server that the typed flags name. */
function targetIn(given: readonly string[]): Target {
  const { values } = readTyped(given, tokensOf(CLIENT_FLAGS));
  return targetOf({
    server: values.get("server"),
    context: values.get("context"),
    tls: values.get("tls") === "true",
    tlsCa: values.get("tls-ca"),
    token: values.get("token"),
    tokenFile: values.get("token-file"),
  });
}

function lineOf(shell: Shell, { value, about }: Candidate, kept: number): string {
  const text = about === undefined ? "" : escapeControls(about);
  switch (shell) {
    case "bash":
      return value.slice(kept);
    case "zsh":
      return `${value.replaceAll(":", "\\:")}${text === "" ? "" : `:${text}`}`;
    case "fish":
    case "powershell":
      return text === "" ? value : `${value}\t${text}`;
  }
}

/** Most tasks of each status. */
const MAX_TASKS = 100;
/** Values without characters that are special to a shell, which inserts a candidate without quotes. */
const HARMLESS = /^[\p{L}\p{N}_][\p{L}\p{N}_.:@\/+-]*$/u;

/** The statuses of tasks that a command can act on; other commands take all. */
const STATUSES_FOR: Readonly<Record<string, readonly Status[]>> = {
  cancel: OPEN_STATUSES,
  why: OPEN_STATUSES,
  wait: OPEN_STATUSES,
  retry: RETRIABLE_STATUSES,
  result: FINAL_STATUSES,
};

interface Wanted {
  source: Exclude<Source, "files" | "folders">;
  /** The command that is being typed. */
  command: string;
  /** The server; called only if the values come from it. */
  target(): Target;
}

/** All values of the source. Throws if they cannot be read. */
async function valuesOf({ source, command, target }: Wanted): Promise<Candidate[]> {
  if (source === "contexts") {
    const { named } = readContexts();
    const all = [...named].map(([value, { server }]) => ({ value, about: server }));
    return [...all, { value: DEFAULT_CONTEXT, about: "the server on this machine" }];
  }
  await using client = await connect(target(), { reconnectMs: 0 });
  const values = source === "tasks"
    ? await tasksOf(client, STATUSES_FOR[command] ?? STATUSES)
    : source === "ops"
    ? (await client.ops()).map(({ op, workers }) => ({ value: op, about: workersText(workers) }))
    : (await client.crons()).map(({ cron_id, op, cron }) => ({
      value: cron_id,
      about: `${op} at ${cron}`,
    }));
  return values.filter(({ value }) => HARMLESS.test(value));
}

async function tasksOf(client: Client, statuses: readonly Status[]): Promise<Candidate[]> {
  const pages = await Promise.all(
    statuses.map((status) => client.list({ status, limit: MAX_TASKS })),
  );
  return pages.flatMap(({ tasks }) =>
    tasks.map(({ task_id, op, status }) => ({ value: task_id, about: `${op}, ${status}` }))
  );
}

function workersText(count: number): string {
  return `${count} ${count === 1 ? "worker" : "workers"}`;
}
