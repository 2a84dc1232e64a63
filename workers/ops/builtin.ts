/** The ops that every worker has. A new one: its handler in `ops/`, and its line here. */

import type { Handler } from "./handler.ts";
import { echo } from "./echo.ts";
import { hash } from "./hash.ts";
import { sleep } from "./sleep.ts";
import { square } from "./square.ts";

export const BUILTIN_OPS: ReadonlyMap<string, Handler> = new Map<string, Handler>([
  ["square", square],
  ["echo", echo],
  ["sleep", sleep],
  ["hash", hash],
]);
