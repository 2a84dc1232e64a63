/**
 * `sd complete`, which the scripts of `sd completions` call: candidates for the word that is being typed,
 * one a line. A person waits at the prompt meanwhile: whatever is wrong, it says nothing and ends soon.
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
        const late = () => new Error("nobody waits any longer");
        const lines = await within(linesFor(line, commands), { ms: PATIENCE_MS, late });
        if (lines.length > 0) print(lines.join("\n"));
      } catch {
        // No server, a wrong flag before the cursor: there is nothing to offer, and nobody to tell.
      }
      return EXIT.ok;
    },
  });
}

interface TypedLine {
  shell: Shell;
  /** After `sd`; the last one is being typed. */
  words: string[];
  /** What of that word the shell leaves as it is, since it takes only the rest for the word. */
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

/** The server that the line so far names. */
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

/** So many of each status: nobody reads more. */
const MAX_TASKS = 100;
/** A shell types a candidate as it stands: only what no shell takes for anything else. */
const HARMLESS = /^[\p{L}\p{N}_][\p{L}\p{N}_.:@\/+-]*$/u;

/** Tasks that a command can do something with; of others, all. */
const STATUSES_FOR: Readonly<Record<string, readonly Status[]>> = {
  cancel: OPEN_STATUSES,
  why: OPEN_STATUSES,
  wait: OPEN_STATUSES,
  retry: RETRIABLE_STATUSES,
  result: FINAL_STATUSES,
};

export interface Wanted {
  source: Exclude<Source, "files" | "folders">;
  /** The command that is being typed. */
  command: string;
  /** Found only where the server is asked. */
  target(): Target;
}

/** Everything there is; throws what keeps it from being known. */
export async function valuesOf({ source, command, target }: Wanted): Promise<Candidate[]> {
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
