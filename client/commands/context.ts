/** `sd context`: the named servers of this user, and the choice of the one in use. */

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
import { DEFAULT_HOST, DEFAULT_PORT, formatTargets, parseTarget } from "../../net/target.ts";
import { quote } from "../../protocol/errors.ts";
import { talk } from "./base/output.ts";
import { alignedTable } from "./base/table.ts";

const HEADINGS = ["", "CONTEXT", "SERVER", "TLS", "TOKEN"];
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;

const FLAGS = {
  server: { type: "string", help: "for add: address of the server", value: "HOST:PORT" },
  tls: { type: "boolean", help: "for add: use TLS" },
  tlsCa: {
    type: "string",
    help: "for add: additional certificate in PEM to trust; implies --tls",
    value: "FILE",
  },
  tokenFile: { type: "string", help: "for add: file with its token", value: "FILE" },
  tokenEnv: { type: "string", help: "for add: environment variable with its token", value: "NAME" },
  force: { type: "boolean", help: "for add: replace an existing context" },
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
  summary: "name servers, and choose which one commands use",
  positional: "[ls|add|use|show|rm] [CONTEXT]",
  maxArgs: 2,
  flags: FLAGS,
  examples: [
    ["sd context add prod --server 10.0.0.5:5000 --tls --token-file prod.token", "name a server"],
    ["sd context use prod", "use it from now on; back with: sd context use default"],
    ["sd context show prod", "its settings; for a single command: --context prod"],
    ["sd context", "list all; * marks the one in use"],
  ],
  notes: [
    "The server is the first of: --server or --context, SD_SERVER, SD_CONTEXT, the context in use, " +
    `${DEFAULT_HOST}:${DEFAULT_PORT}. sd doctor shows the choice and its reason. The token of a context is sent ` +
    "to its own server only. sd stores the name of the file or variable, and never the token.",
  ],
  run({ flags, args: [word = "ls", name] }) {
    const action = ACTIONS.get(word);
    const stray = Object.keys(FLAGS).find((flag) => flags[flag as keyof typeof FLAGS]);
    if (action && word !== "add" && stray !== undefined) {
      throw new ClientError(
        "usage",
        `--${kebab(stray)} goes with sd context add, not with ${word}`,
      );
    }
    if (action) return Promise.resolve(action(flags, name));
    const meant = nearest(word, [...ACTIONS.keys()]);
    throw new ClientError("usage", `sd context has no subcommand ${quote(word)}`, {
      hint: meant
        ? `did you mean sd context ${meant}?`
        : "the subcommands are ls, add, use, show and rm",
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
    throw new ClientError(
      "usage",
      `the name ${DEFAULT_CONTEXT} is reserved for the server on this machine`,
      {
        hint: "choose another name",
      },
    );
  }
  const added = contextOf(flags);
  const view = changeContexts((contexts) => {
    const known = contexts.named.get(name);
    if (known && !flags.force && JSON.stringify(known) !== JSON.stringify(added)) {
      throw new ClientError(
        "usage",
        `there is already a context ${quote(name)} with other settings`,
        {
          hint: "replace it with --force",
        },
      );
    }
    contexts.named.set(name, added);
    return viewOf(contexts, name);
  });
  if (flags.json) printData(view);
  else talk(`context ${name} added; use it with: sd context use ${name}`);
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
    talk(`commands now use ${view.server}`);
    const before = ["SD_SERVER", "SD_CONTEXT"].find((name) => Deno.env.get(name));
    if (before) talk(`but ${before} is set here, and overrides the context`);
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
    const now = `; commands now use ${DEFAULT_HOST}:${DEFAULT_PORT}`;
    talk(`context ${name} removed${wasCurrent ? now : ""}`);
  }
  return EXIT.ok;
}

/** A context in `--json`. */
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

/** The context that the flags of `add` describe. Throws `usage` for flags that can never work. */
function contextOf({ server, tls, tlsCa, tokenFile, tokenEnv }: ContextFlags): Context {
  if (server === undefined) {
    throw new ClientError("usage", "sd context add needs --server HOST:PORT");
  }
  if (tokenFile !== undefined && tokenEnv !== undefined) {
    throw new ClientError("usage", "--token-file and --token-env exclude each other");
  }
  if (tokenEnv !== undefined && !VARIABLE.test(tokenEnv)) {
    throw new ClientError("usage", `--token-env takes the name of a variable`, {
      hint: "put the token in a variable or a file: sd does not store it",
    });
  }
  return {
    server: formatTargets(parseTarget(server)),
    ...(tls || tlsCa !== undefined ? { tls: true } : {}),
    ...(tlsCa === undefined ? {} : { tls_ca: existing(tlsCa) }),
    ...(tokenFile === undefined ? {} : { token_file: existing(tokenFile) }),
    ...(tokenEnv === undefined ? {} : { token_env: tokenEnv }),
  };
}

/** The absolute path, since later commands run in other folders. */
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
  throw new ClientError("usage", `the name is missing; the usage is: sd context ${word} CONTEXT`, {
    hint: "list the contexts with: sd context ls",
  });
}
