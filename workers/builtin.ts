/** The ops that every worker has. A new one: its handler in `ops/`, and its line here. */

import type { Handler } from "./handler.ts";
import { echo } from "./ops/echo.ts";
import { hash } from "./ops/hash.ts";
import { sleep } from "./ops/sleep.ts";
import { square } from "./ops/square.ts";

export const BUILTIN_OPS: ReadonlyMap<string, Handler> = new Map<string, Handler>([
  ["square", square],
  ["echo", echo],
  ["sleep", sleep],
  ["hash", hash],
]);
