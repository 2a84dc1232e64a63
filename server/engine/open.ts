/** From an engine's URL to the engine. Each is loaded by a literal import, and only when asked for. */

import { quote, SdError } from "../../protocol/errors.ts";
import type { Engine } from "./engine.ts";

/** The URLs that `openEngine` understands, for help and messages. */
export const ENGINE_URLS = ["memory:"] as const;

export interface EngineOptions {
  /** New tasks are refused while so many are queued or delayed; default: no limit. */
  readonly maxQueued?: number;
  /** Or while the payloads of all tasks that are not final take so much; default: no limit. */
  readonly maxQueuedBytes?: number;
}

/** Throws `bad_request` for a URL that names no engine. */
export async function openEngine(url: string, options: EngineOptions = {}): Promise<Engine> {
  if (url === "memory:") {
    const { openMemoryEngine } = await import("./memory.ts");
    const { maxQueued = Infinity, maxQueuedBytes = Infinity } = options;
    return openMemoryEngine({ maxQueued, maxOpenChars: maxQueuedBytes });
  }
  throw new SdError(
    "bad_request",
    `no engine is called ${quote(url)}; the engines are ${ENGINE_URLS.join(", ")}`,
  );
}
