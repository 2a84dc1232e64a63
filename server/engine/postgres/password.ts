/**
 * The password for a PostgreSQL engine. It is read again at each login, so that one that was changed works without a
 * restart. The first of these that is there counts: the URL, a file, `SD_ENGINE_PASSWORD`, `PGPASSWORD`, and the password
 * file of libpq (`passfile` of the URL, `PGPASSFILE`, `~/.pgpass`).
 */

import { readFile } from "node:fs/promises";
import { enginePassword, type EnginePasswordSources, readNamedFile } from "../engine_password.ts";
import type { Host, PostgresTarget } from "./url.ts";

interface PasswordSources extends EnginePasswordSources {
  readonly target: PostgresTarget;
}

/** Resolves with the password for `host`; `undefined` if there is none. Rejects if a file that was named cannot be read. */
export async function passwordFor(
  { target, file, env }: PasswordSources,
  host: Host,
): Promise<string | undefined> {
  if (target.password !== undefined) return target.password;
  const given = await enginePassword({ file, env }) ?? env("PGPASSWORD");
  if (given !== undefined) return given;
  const named = target.passFile ?? env("PGPASSFILE");
  const home = env("HOME");
  const path = named ?? (home === undefined ? undefined : `${home}/.pgpass`);
  if (path === undefined) return undefined;
  const text = named === undefined
    ? await readFile(path, "utf8").catch(() => "")
    : await readNamedFile(path, "the password file");
  return passwordIn(text, { host, target });
}

/** The password of the first line of a `.pgpass` that fits: `host:port:database:user:password`, each or `*`. */
export function passwordIn(
  text: string,
  { host, target }: { host: Host; target: Pick<PostgresTarget, "database" | "user"> },
): string | undefined {
  const wanted = [host.host, String(host.port), target.database, target.user];
  for (const line of text.split(/\r?\n/)) {
    const [, ...fields] = LINE.exec(line) ?? [];
    if (fields.length === 0 || line.startsWith("#")) continue;
    const fits = wanted.every((value, i) => fields[i] === "*" || plain(fields[i]!) === value);
    if (fits) return plain(fields[4]!);
  }
  return undefined;
}

/** Four fields in which a colon stands behind a backslash, and the password. */
const FIELD = "((?:\\\\.|[^\\\\:])*)";
const LINE = new RegExp(`^${FIELD}:${FIELD}:${FIELD}:${FIELD}:(.*)$`);

/** Without the backslashes that stand before a colon or a backslash. */
function plain(field: string): string {
  return field.replace(/\\(.)/g, "$1");
}
