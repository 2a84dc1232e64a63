/**
 * Opens the engine that a URL names. Each engine is loaded by a literal import, when it is first needed. A URL can hold a
 * password: `shownEngine` is the part of it that may be printed.
 */

import { quote, SdError } from "../../protocol/errors.ts";
import type { Engine } from "./engine.ts";
import type { Lead, SharedStore } from "./journaled/shared_store.ts";
import type { EngineOptions } from "./options.ts";

/** The URLs of all engines, for help and messages. */
export const ENGINE_URLS = [
  "sqlite:",
  "sqlite:PATH",
  "memory:",
  "postgres://HOST/DATABASE",
  "redis://HOST",
] as const;

/** Rejects with `bad_request` for a URL that names no engine, with a `ClientError` if the engine cannot be opened. */
export async function openEngine(url: string, options: EngineOptions = {}): Promise<Engine> {
  if (url === "memory:") {
    const { openMemoryEngine } = await import("./memory/memory.ts");
    const { maxQueued = Infinity, maxQueuedBytes = Infinity, ended = () => {} } = options;
    return openMemoryEngine({ ended, maxQueued, maxOpenChars: maxQueuedBytes });
  }
  if (url.startsWith("sqlite:")) {
    const { openSqlite } = await import("./sqlite/open_sqlite.ts");
    return await openSqlite(url, options);
  }
  throw unknownEngine(url);
}

const POSTGRES = /^postgres(ql)?:/;
const REDIS = /^redis/;

/** Whether `url` names a store that several servers can share: open it by `openSharedStore`, not by `openEngine`. */
export function isSharedEngine(url: string): boolean {
  return POSTGRES.test(url) || REDIS.test(url);
}

/**
 * Connects to a store that servers share. Rejects with a `ClientError` that names the cure if it cannot be used, with
 * `bad_request` for a URL that names none.
 */
export async function openSharedStore(
  url: string,
  options: Pick<EngineOptions, "maxKept" | "report" | "passwordFile"> = {},
): Promise<SharedStore> {
  if (POSTGRES.test(url)) {
    const { openPostgres } = await import("./postgres/open_postgres.ts");
    return await openPostgres(url, options);
  }
  if (REDIS.test(url)) {
    const { openRedis } = await import("./redis/open_redis.ts");
    return await openRedis(url, options);
  }
  throw unknownEngine(url);
}

/** The engine of the server that leads, on the store of its lead. */
export async function openLeadEngine(
  { name }: Pick<SharedStore, "name">,
  { store, opened, sweeper }: Lead,
  { ended = () => {}, report = () => {}, maxQueued = Infinity }: EngineOptions = {},
): Promise<Engine> {
  const { openJournaledEngine } = await import("./journaled/journaled_engine.ts");
  return await openJournaledEngine({
    name,
    store,
    opened,
    sweeper,
    now: Date.now(),
    ended,
    report,
    maxQueued,
  });
}

/** `url` for people: of a shared engine, its hosts alone. The rest can be secret, or can be a password at a wrong place. */
export function shownEngine(url: string): string {
  if (!isSharedEngine(url)) return url;
  const [, scheme = "", rest = ""] = /^([a-z+-]+):(?:\/\/)?(.*)$/s.exec(url) ?? [];
  const [before = ""] = rest.split(/[?#]/, 1);
  const isOdd = rest.includes("@") && !before.includes("@");
  const [hosts = ""] = before.slice(before.lastIndexOf("@") + 1).split("/", 1);
  return isOdd || !HOSTS.test(hosts) ? `${scheme}://…` : `${scheme}://${hosts}`;
}

/** Whether `url` holds a password, which a list of processes then shows. */
export function hasPassword(url: string): boolean {
  const login = /:\/\/(.*)@/s.exec(url)?.[1] ?? "";
  return isSharedEngine(url) && (/:./s.test(login) || /[?&]password=[^&]/.test(url));
}

/** Names or addresses with ports, separated by commas. */
const HOSTS = /^(?:(?:[\w.-]*|\[[\da-fA-F:.]+\])(?::\d{1,5})?(?:,|$))*$/;

function unknownEngine(url: string): SdError {
  return new SdError(
    "bad_request",
    `no engine is called ${quote(shownEngine(url))}; the engines are ${ENGINE_URLS.join(", ")}`,
  );
}
