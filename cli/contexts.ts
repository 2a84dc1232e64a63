/**
 * Named servers, in one file of the user. The file holds no secret: a context names the file or the variable that
 * holds its token.
 *
 *     {"version":1,"current":"prod","contexts":{"prod":{"server":"10.0.0.5:5000","tls":true}}}
 *
 * To change the format: new members are ignored by older releases; any other change needs version 2.
 */

import { quote } from "../protocol/errors.ts";
import {
  MAX_CONTEXT_NAME_CHARS,
  MAX_CONTEXTS,
  MAX_CONTEXTS_FILE_BYTES,
} from "../protocol/limits.ts";
import { ClientError } from "../net/client_error.ts";
import { writeWholeFile } from "./whole_file.ts";
import { contextsFile, NO_HOME } from "./state_dir.ts";

const VERSION = 1;
const NAME = new RegExp(`^[A-Za-z0-9][A-Za-z0-9._-]{0,${MAX_CONTEXT_NAME_CHARS - 1}}$`);

/** The name of the server on this machine. It always exists and is never stored. */
export const DEFAULT_CONTEXT = "default";

/** How to reach one server. Paths are absolute. */
export interface Context {
  server: string;
  tls?: boolean;
  tls_ca?: string;
  token_file?: string;
  /** The environment variable that holds the token. */
  token_env?: string;
}

export interface Contexts {
  /** The context in use if no flag and no variable names a server. */
  current: string | undefined;
  readonly named: Map<string, Context>;
}

/** All contexts; none if there is no file. Throws `usage` for a file that cannot be read. */
export function readContexts(path = contextsFile()): Contexts {
  if (path === undefined) return { current: undefined, named: new Map() };
  let text: string;
  try {
    const { size } = Deno.statSync(path);
    if (size > MAX_CONTEXTS_FILE_BYTES) throw new Error(`it has ${size} bytes`);
    text = Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { current: undefined, named: new Map() };
    throw unreadable(path, error);
  }
  try {
    return contextsIn(JSON.parse(text));
  } catch (error) {
    throw unreadable(path, error);
  }
}

/**
 * Changes the file by `change`, under a lock. A reader sees all of the change or nothing. Throws `usage` if the
 * file cannot be written.
 */
export function changeContexts<T>(change: (contexts: Contexts) => T, path = contextsFile()): T {
  if (path === undefined) {
    throw new ClientError("usage", `there is no configuration directory: ${NO_HOME}`, {
      hint: "set HOME or XDG_CONFIG_HOME to an absolute path",
    });
  }
  let lock: Deno.FsFile;
  try {
    const folder = path.replace(/[/\\][^/\\]*$/, "");
    Deno.mkdirSync(folder, { recursive: true, mode: 0o700 });
    lock = Deno.openSync(`${path}.lock`, { create: true, write: true, mode: 0o600 });
  } catch (error) {
    throw unwritable(path, error);
  }
  try {
    lock.lockSync(true);
    const contexts = readContexts(path);
    const result = change(contexts);
    write(path, contexts);
    return result;
  } finally {
    lock.close();
  }
}

/** Throws `usage` for an invalid name of a context. */
export function checkContextName(name: string): void {
  if (!NAME.test(name)) {
    throw new ClientError(
      "usage",
      `the name of a context has 1 to ${MAX_CONTEXT_NAME_CHARS} characters of A-Z a-z 0-9 . _ - and begins ` +
        `with a letter or a digit; this is ${quote(name)}`,
    );
  }
}

/** The context `name`; `undefined` for the default. Throws `usage` if there is no such context. */
export function contextNamed(
  { named }: Contexts,
  { name, from }: { name: string; from?: string },
): Context | undefined {
  if (name === DEFAULT_CONTEXT) return undefined;
  const found = named.get(name);
  if (found) return found;
  const where = from === undefined ? "" : ` (${from})`;
  throw new ClientError("usage", `there is no context ${quote(name)}${where}`, {
    hint: "list the contexts with: sd context ls",
  });
}

function write(path: string, { current, named }: Contexts): void {
  if (named.size > MAX_CONTEXTS) {
    throw new ClientError(
      "usage",
      `there are ${MAX_CONTEXTS} contexts already, the most that can be kept`,
    );
  }
  const content = { version: VERSION, current, contexts: Object.fromEntries(named) };
  try {
    writeWholeFile(path, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  } catch (error) {
    throw unwritable(path, error);
  }
}

function contextsIn(content: unknown): Contexts {
  const { version, current, contexts } = objectIn(content, "it");
  if (version !== VERSION) {
    throw new Error(`its version is ${quote(version)}, and this release reads version ${VERSION}`);
  }
  if (current !== undefined && typeof current !== "string") {
    throw new Error("current is not a name");
  }
  const named = new Map<string, Context>();
  for (const [name, value] of Object.entries(objectIn(contexts, "contexts"))) {
    checkContextName(name);
    named.set(name, contextIn(name, value));
  }
  return { current, named };
}

function contextIn(name: string, value: unknown): Context {
  const { server, tls, tls_ca, token_file, token_env } = objectIn(value, name);
  if (typeof server !== "string") throw new Error(`${name} has no server`);
  const context: Context = { server };
  if (tls === true) context.tls = true;
  for (const [key, text] of Object.entries({ tls_ca, token_file, token_env })) {
    if (typeof text === "string") context[key as "tls_ca" | "token_file" | "token_env"] = text;
    else if (text !== undefined) throw new Error(`${key} of ${name} is not a text`);
  }
  return context;
}

function objectIn(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new Error(`${what} is not a JSON object`);
}

function unreadable(path: string, cause: unknown): ClientError {
  return new ClientError("usage", `cannot read the contexts in ${path}: ${reasonOf(cause)}`, {
    cause,
    hint: "correct or remove the file; --server HOST:PORT works without it",
  });
}

function unwritable(path: string, cause: unknown): ClientError {
  return new ClientError("usage", `cannot write ${path}: ${reasonOf(cause)}`, {
    cause,
    hint: "name another folder: export XDG_CONFIG_HOME=DIR",
  });
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
