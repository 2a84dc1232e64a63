/** Opens the engine that a URL names. Each engine is loaded by a literal import, when it is first needed. */

import { quote, SdError } from "../../protocol/errors.ts";
import type { Engine } from "./engine.ts";
import type { EngineOptions } from "./options.ts";

/** The URLs that `openEngine` understands, for help and messages. */
export const ENGINE_URLS = ["sqlite:", "sqlite:PATH", "memory:"] as const;

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
  throw new SdError(
    "bad_request",
    `no engine is called ${quote(url)}; the engines are ${ENGINE_URLS.join(", ")}`,
  );
}
