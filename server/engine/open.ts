/** From an engine's URL to the engine. Each is loaded by a literal import, and only when asked for. */

import { quote, SdError } from "../../protocol/errors.ts";
import type { Engine } from "./engine.ts";
import type { EngineOptions } from "./options.ts";

/** The URLs that `openEngine` understands, for help and messages. */
export const ENGINE_URLS = ["sqlite:", "sqlite:PATH", "memory:"] as const;

/** Throws `bad_request` for a URL that names no engine, `ClientError` where it cannot be opened. */
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
  throw new SdError(
    "bad_request",
    `no engine is called ${quote(url)}; the engines are ${ENGINE_URLS.join(", ")}`,
  );
}
