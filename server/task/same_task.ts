/** Whether two submitted lines ask for the same thing: the rule behind an idempotent id. Pure. */

import { isDeepStrictEqual } from "node:util";
import type { JsonObject } from "../../protocol/message.ts";

/** True when op and arguments are equal; `ref`, the options and the order of members do not count. */
export function asksTheSame(payload: string, other: string): boolean {
  return payload === other || isDeepStrictEqual(request(payload), request(other));
}

function request(payload: string): JsonObject {
  const { ref: _ref, task: _task, ...rest } = JSON.parse(payload) as JsonObject;
  return rest;
}
