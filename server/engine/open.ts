/** From an engine's URL to the engine. Each is loaded by a literal import, and only when asked for. */

import { quote, SdError } from "../../protocol/errors.ts";
import type { Engine } from "./engine.ts";

/** The URLs that `openEngine` understands, for help and messages. */
export const ENGINE_URLS = ["sqlite:", "sqlite:PATH", "memory:"] as const;

export const DURABILITIES = ["full", "normal"] as const;
export type Durability = typeof DURABILITIES[number];

export interface EngineOptions {
  /** New tasks are refused while so many are queued or delayed; default: no limit. */
  readonly maxQueued?: number;
  /** Or while the payloads of all tasks that are not final take so much, where they are in memory. */
  readonly maxQueuedBytes?: number;
  /** Where `sqlite:` without a path has its file; default: the state directory of the user. */
  readonly dataDir?: string | undefined;
  /** `full` survives a power failure, `normal` the end of the process. */
  readonly durability?: Durability;
  /** Records of final tasks that a file keeps at most. */
  readonly maxKept?: number;
  /** Bytes of a file in use, above which the oldest final tasks go. */
  readonly maxFileBytes?: number;
  /** What an operator has to know. */
  readonly report?: (message: string) => void;
}

/** Throws `bad_request` for a URL that names no engine, `ClientError` where it cannot be opened. */
export async function openEngine(url: string, options: EngineOptions = {}): Promise<Engine> {
  if (url === "memory:") {
    const { openMemoryEngine } = await import("./memory.ts");
    const { maxQueued = Infinity, maxQueuedBytes = Infinity } = options;
    return openMemoryEngine({ maxQueued, maxOpenChars: maxQueuedBytes });
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
