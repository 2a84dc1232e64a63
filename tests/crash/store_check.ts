/** What SQLite itself says of a store whose server is dead: looked at in a copy, so that nothing is mended. */

import { DatabaseSync } from "node:sqlite";
import { STORED_STATUSES } from "../../server/engine/journaled/task_store.ts";

/** What is wrong with the store in the file `path`; nothing when all is well. */
export async function faultOfStore(path: string): Promise<string | undefined> {
  const folder = await Deno.makeTempDir({ prefix: "sd-store-" });
  try {
    if (!await copyStore(path, `${folder}/copy.db`)) return undefined;
    const database = new DatabaseSync(`${folder}/copy.db`);
    try {
      return faultOfDatabase(database);
    } finally {
      database.close();
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The database with its WAL; false when there is none, since it was never made. */
export async function copyStore(from: string, to: string): Promise<boolean> {
  try {
    await Deno.copyFile(from, to);
    await Deno.copyFile(`${from}-wal`, `${to}-wal`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return await exists(to);
  }
  return true;
}

export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function faultOfDatabase(database: DatabaseSync): string | undefined {
  const integrity = database.prepare("PRAGMA integrity_check").all()
    .map((row) => String(row.integrity_check)).join("; ");
  if (integrity !== "ok") return `integrity_check: ${integrity}`;
  const kept = database.prepare("SELECT * FROM counts").get() ?? {};
  const counted = new Map(
    database.prepare("SELECT status, count(*) AS n FROM tasks GROUP BY status").all()
      .map((row) => [Number(row.status), Number(row.n)]),
  );
  // A store that was never written to has no counts yet.
  const wrong = STORED_STATUSES.filter((name, i) => (kept[name] ?? 0) !== (counted.get(i) ?? 0));
  if (wrong.length === 0) return undefined;
  const [said, there] = [kept, Object.fromEntries(counted)].map((it) => JSON.stringify(it));
  return `its counts of ${wrong.join(", ")} are wrong: ${said}, but there are ${there}`;
}
