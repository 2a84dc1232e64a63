/** `sd context`: named servers, kept for this user; one of them may be in use. */

import { resolve } from "node:path";
import { ClientError } from "../../net/client_error.ts";
import { defineCommand } from "../../cli/command.ts";
import {
  changeContexts,
  checkContextName,
  type Context,
  contextNamed,
  type Contexts,
  DEFAULT_CONTEXT,
  readContexts,
} from "../../cli/contexts.ts";
import { EXIT, type ExitCode } from "../../cli/exit.ts";
import { kebab } from "../../cli/flags.ts";
import { nearest } from "../../cli/nearest.ts";
import { printData } from "../../cli/report.ts";
import { print } from "../../cli/talk.ts";
import { DEFAULT_HOST, DEFAULT_PORT, formatTarget, parseTarget } from "../../net/target.ts";
import { quote } from "../../protocol/errors.ts";
import { talk } from "./base/output.ts";
import { alignedTable } from "./base/table.ts";

const HEADINGS = ["", "CONTEXT", "SERVER", "TLS", "TOKEN"];
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;

const FLAGS = {
  server: { type: "string", help: "for add: the server", value: "HOST:PORT" },
  tls: { type: "boolean", help: "for add: speak TLS with it" },
  tlsCa: {
    type: "string",
    help: "for add: certificate in PEM to trust besides those of the system; speaks TLS",
    value: "FILE",
  },
  tokenFile: { type: "string", help: "for add: file that holds its token", value: "FILE" },
  tokenEnv: { type: "string", help: "for add: variable that holds its token", value: "NAME" },
  force: { type: "boolean", help: "for add: replace the context of this name" },
} as const;

interface ContextFlags {
  server: string | undefined;
  tls: boolean;
  tlsCa: string | undefined;
  tokenFile: string | undefined;
  tokenEnv: string | undefined;
  force: boolean;
  json: boolean;
}

type Action = (flags: ContextFlags, name: string | undefined) => ExitCode;

const ACTIONS: ReadonlyMap<string, Action> = new Map<string, Action>([
  ["ls", list],
  ["add", add],
  ["use", use],
  ["show", show],
  ["rm", remove],
]);

export const context = defineCommand({
  name: "context",
  summary: "name servers, and say which of them commands speak to",
  positional: "[ls|add|use|show|rm] [CONTEXT]",
  maxArgs: 2,
  flags: FLAGS,
  examples: [
    ["sd context add prod --server 10.0.0.5:5000 --tls --token-file prod.token", "give it a name"],
    ["sd context use prod", "commands speak to it now; back with: sd context use default"],
    ["sd context show prod", "how it is reached; for one command alone: --context prod"],
    ["sd context", "which there are, and which is in use"],
  ],
  notes: [
    "The server is the first of: --server or --context, SD_SERVER, SD_CONTEXT, the context in use, " +
    `${DEFAULT_HOST}:${DEFAULT_PORT}. sd doctor says which it is, and why. A context gives its token to ` +
    "its own server alone. What is kept is the name of the file or variable that holds the token.",
  ],
  run({ flags, args: [word = "ls", name] }) {
    const action = ACTIONS.get(word);
    const stray = Object.keys(FLAGS).find((flag) => flags[flag as keyof typeof FLAGS]);
    if (action && word !== "add" && stray !== undefined) {
      throw new ClientError(
        "usage",
        `--${kebab(stray)} is for sd context add, and this is ${word}`,
      );
    }
    if (action) return Promise.resolve(action(flags, name));
    const meant = nearest(word, [...ACTIONS.keys()]);
    throw new ClientError("usage", `sd context cannot ${quote(word)}`, {
      hint: meant ? `did you mean sd context ${meant}?` : "it can ls, add, use, show and rm",
    });
  },
});

function list({ json }: ContextFlags, name: string | undefined): ExitCode {
  if (name !== undefined) throw new ClientError("usage", "sd context ls takes no name");
  const contexts = readContexts();
  const views = [DEFAULT_CONTEXT, ...contexts.named.keys()].map((name) => viewOf(contexts, name));
  if (json) printData({ contexts: views });
  else print(alignedTable([HEADINGS, ...views.map(rowOf)]));
  return EXIT.ok;
}

function add(flags: ContextFlags, given: string | undefined): ExitCode {
  const name = required("add", given);
  checkContextName(name);
  if (name === DEFAULT_CONTEXT) {
    throw new ClientError("usage", `${DEFAULT_CONTEXT} is the server on this machine, always`, {
      hint: "give it another name",
    });
  }
  const added = contextOf(flags);
  const view = changeContexts((contexts) => {
    const known = contexts.named.get(name);
    if (known && !flags.force && JSON.stringify(known) !== JSON.stringify(added)) {
      throw new ClientError("usage", `there is a context ${quote(name)} already, and it differs`, {
        hint: "replace it with --force",
      });
    }
    contexts.named.set(name, added);
    return viewOf(contexts, name);
  });
  if (flags.json) printData(view);
  else talk(`context ${name} kept; use it with: sd context use ${name}`);
  return EXIT.ok;
}

function use({ json }: ContextFlags, given: string | undefined): ExitCode {
  const name = required("use", given);
  const view = changeContexts((contexts) => {
    contextNamed(contexts, { name });
    contexts.current = name === DEFAULT_CONTEXT ? undefined : name;
    return viewOf(contexts, name);
  });
  if (json) printData(view);
  else {
    talk(`commands speak to ${view.server} now`);
    const before = ["SD_SERVER", "SD_CONTEXT"].find((name) => Deno.env.get(name));
    if (before) talk(`but not where ${before} is set, as it is here: it goes first`);
  }
  return EXIT.ok;
}

function show({ json }: ContextFlags, given: string | undefined): ExitCode {
  const contexts = readContexts();
  const name = given ?? contexts.current ?? DEFAULT_CONTEXT;
  contextNamed(contexts, { name });
  const view = viewOf(contexts, name);
  if (json) printData(view);
  else print(alignedTable([["context", view.context], ...rowsOf(view)]));
  return EXIT.ok;
}

function remove({ json }: ContextFlags, given: string | undefined): ExitCode {
  const name = required("rm", given);
  const wasCurrent = changeContexts((contexts) => {
    if (!contextNamed(contexts, { name })) {
      throw new ClientError("usage", `${DEFAULT_CONTEXT} cannot be removed`);
    }
    contexts.named.delete(name);
    if (contexts.current !== name) return false;
    contexts.current = undefined;
    return true;
  });
  if (json) printData({ removed: name });
  else {
    const now = `; commands speak to ${DEFAULT_HOST}:${DEFAULT_PORT} now`;
    talk(`context ${name} removed${wasCurrent ? now : ""}`);
  }
  return EXIT.ok;
}

/** As `--json` tells it. */
type ContextView = Context & { context: string; current: boolean };

function viewOf({ current, named }: Contexts, name: string): ContextView {
  const context = named.get(name) ?? { server: `${DEFAULT_HOST}:${DEFAULT_PORT}` };
  return { context: name, current: name === (current ?? DEFAULT_CONTEXT), ...context };
}

function rowOf(view: ContextView): string[] {
  const [[, server = ""] = [], [, tls = ""] = [], [, token = ""] = []] = rowsOf(view);
  return [view.current ? "*" : "", view.context, server, tls, token];
}

function rowsOf({ server, tls, tls_ca, token_file, token_env }: ContextView): string[][] {
  const token = token_file ?? (token_env === undefined ? "none" : `in ${token_env}`);
  return [
    ["server", server],
    ["tls", tls ? tls_ca ?? "yes" : "no"],
    ["token", token],
  ];
}

/** What the flags of `add` come to. Throws `usage` for what could never work. */
function contextOf({ server, tls, tlsCa, tokenFile, tokenEnv }: ContextFlags): Context {
  if (server === undefined) {
    throw new ClientError("usage", "sd context add needs --server HOST:PORT");
  }
  if (tokenFile !== undefined && tokenEnv !== undefined) {
    throw new ClientError("usage", "the token is in --token-file or in --token-env, not in both");
  }
  if (tokenEnv !== undefined && !VARIABLE.test(tokenEnv)) {
    throw new ClientError("usage", `--token-env is the name of a variable; this is no name`, {
      hint: "the token itself is not kept: put it in a variable or a file",
    });
  }
  return {
    server: formatTarget(parseTarget(server)),
    ...(tls || tlsCa !== undefined ? { tls: true } : {}),
    ...(tlsCa === undefined ? {} : { tls_ca: existing(tlsCa) }),
    ...(tokenFile === undefined ? {} : { token_file: existing(tokenFile) }),
    ...(tokenEnv === undefined ? {} : { token_env: tokenEnv }),
  };
}

/** The whole path, since commands will be typed in other folders. */
function existing(path: string): string {
  try {
    Deno.statSync(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClientError("usage", `cannot read ${quote(path)}: ${reason}`, { cause: error });
  }
  return resolve(path);
}

function required(word: string, name: string | undefined): string {
  if (name !== undefined) return name;
  throw new ClientError("usage", `a name is missing; the usage is: sd context ${word} CONTEXT`, {
    hint: "see which there are with: sd context ls",
  });
}
