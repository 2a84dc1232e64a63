/**
 * What docs/protocol.md says that a server must answer to one line, worked out here a second time and
 * on its own: nothing of the server's is imported, so that one mistake cannot stand on both sides.
 */

import { createHash } from "node:crypto";

export type Ref = string | number | undefined;

/** How a task must end: the JSON of its result, the code of its error, or in any way at all. */
export type Outcome = { readonly result: string } | { readonly failure: string } | "any";

export type Forecast =
  | { readonly is: "nothing" }
  | { readonly is: "refused"; readonly ref: Ref; readonly codes: readonly string[] }
  | {
    readonly is: "task";
    readonly ref: Ref;
    /** Codes with which it can also be refused. */
    readonly codes: readonly string[];
    readonly wait: boolean;
    /** It may take long by itself: to be cancelled once it is acknowledged. */
    readonly slow: boolean;
    readonly outcome: Outcome;
    /** Of a task that fails: its last attempt. */
    readonly attempts: number;
  }
  | {
    readonly is: "command";
    readonly ref: Ref;
    readonly codes: readonly string[];
    /** A member that the answer must have. */
    readonly member: string;
  };

type Members = Record<string, unknown>;

const MAX_SAFE = Number.MAX_SAFE_INTEGER;
const TEN_YEARS_MS = 10 * 365 * 86_400_000;
const MAX_RESULT_BYTES = 1024 * 1024 - 2048;
/** Less than this is soon over; more is cancelled. */
const QUICK_MS = 30;
/** A time limit below this may pass while a busy machine looks elsewhere. */
const RISKY_MS = 20_000;
const LONG_LIMIT_MS = 1000;
const QUICK_ROUNDS = 2000;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** The forecast for a line, its newline taken off; the first line of a connection has further rules. */
export function forecast(bytes: Uint8Array): Forecast {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    return badJson(new TextDecoder().decode(bytes));
  }
  if (text.endsWith("\r")) text = text.slice(0, -1);
  if (text === "") return { is: "nothing" };
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    return badJson(text);
  }
  if (!isMembers(message) || depthOf(message) > 64) return badJson(text);
  const { ref, op, cmd } = message;
  if (ref !== undefined && !isRef(ref)) return refused(undefined, "bad_request");
  const faults: string[] = [];
  if (hasRoundedNumber(text)) faults.push("bad_request");
  if (op !== undefined && cmd !== undefined && cmd !== "list") faults.push("bad_request");
  if (op === undefined && cmd === undefined) faults.push("bad_request");
  if (faults.length > 0) {
    // If there are several faults, any of them can be reported.
    if (cmd === undefined && op !== undefined && !isKnownOp(op)) faults.push("unknown_op");
    return refused(ref as Ref, ...faults);
  }
  return cmd === undefined
    ? taskForecast(message, ref as Ref)
    : commandForecast(message, ref as Ref);
}

function badJson(text: string): Forecast {
  return refused(lastRefIn(text), "bad_json");
}

const TOKEN = /"(?:[^"\\]|\\[^])*(?:"|$)|[{}[\]:,]|[^\s"{}[\]:,]+/g;

/** The last `ref` among the members of the object with which a text begins that is no message. */
function lastRefIn(text: string): Ref {
  const tokens = text.match(TOKEN) ?? [];
  let depth = 0;
  let ref: Ref;
  for (const [i, token] of tokens.entries()) {
    if ("{[".includes(token)) depth++;
    if ("}]".includes(token) && --depth <= 0) break;
    if (depth !== 1 || token !== '"ref"' || tokens[i + 1] !== ":") continue;
    const [value = "", after = ","] = tokens.slice(i + 2, i + 4);
    if (!",}".includes(after) || !/^(?:".*"|-?\d+)$/s.test(value)) continue;
    try {
      const one: unknown = JSON.parse(value);
      if (isRef(one)) ref = one as Ref;
    } catch {
      // No text of JSON, as "\x".
    }
  }
  return ref;
}

function refused(ref: Ref, ...codes: string[]): Forecast {
  return { is: "refused", ref, codes };
}

function isMembers(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isRef(ref: unknown): boolean {
  return Number.isSafeInteger(ref) || (typeof ref === "string" && ref.length <= 128);
}

function isKnownOp(op: unknown): boolean {
  return ["square", "echo", "sleep", "hash"].includes(op as string);
}

function depthOf(value: unknown): number {
  let depth = 0;
  for (let level = [value]; level.length > 0; depth++) {
    const containers = level.filter((one) => typeof one === "object" && one !== null);
    if (containers.length === 0) break;
    level = containers.flatMap((one) => Object.values(one as object));
  }
  return depth;
}

/** Whether some number of `text` cannot be held, by the text that the parser itself reports. */
function hasRoundedNumber(text: string): boolean {
  if (!/\d{16}|e\+?\d{3}/i.test(text)) return false;
  let found = false;
  const look = (_key: string, value: unknown, context?: { source?: string }) => {
    const source = context?.source ?? "";
    if (typeof value === "number") {
      const isInteger = /^-?\d+$/.test(source);
      if (!Number.isFinite(value) || (isInteger && !Number.isSafeInteger(value))) found = true;
    }
    return value;
  };
  JSON.parse(text, look as (key: string, value: unknown) => unknown);
  return found;
}

/** Whether `options[name]` is absent, or an integer of the range. */
function isInteger(options: Members, name: string, min: number, max: number): boolean {
  const value = options[name];
  if (value === undefined) return true;
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}

const RANGES: readonly (readonly [string, number, number])[] = [
  ["priority", -100, 100],
  ["delay", 0, TEN_YEARS_MS],
  ["timeout", 1, 2 ** 31 - 1],
  ["attempts", 1, 100],
  ["backoff", 0, 3_600_000],
  ["expires", 1, TEN_YEARS_MS],
  ["keep", 0, TEN_YEARS_MS],
];

function areOptions(options: Members): boolean {
  const { id, wait, at, delay } = options;
  const names = [...RANGES.map(([name]) => name), "id", "wait", "at"];
  return Object.keys(options).every((name) => names.includes(name)) &&
    RANGES.every(([name, min, max]) => isInteger(options, name, min, max)) &&
    (id === undefined || (typeof id === "string" && /^[A-Za-z0-9._:-]{1,128}$/.test(id))) &&
    (wait === undefined || typeof wait === "boolean") &&
    (at === undefined || (delay === undefined && isTime(at)));
}

function isTime(at: unknown): boolean {
  if (typeof at !== "string" || Number.isNaN(Date.parse(at))) return false;
  if (!/^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/.test(at)) return false;
  return Date.parse(at) <= Date.now() + TEN_YEARS_MS;
}

function taskForecast(message: Members, ref: Ref): Forecast {
  const { op, task: options = {} } = message;
  const isOp = typeof op === "string" && op !== "" && op.length <= 128;
  if (!isOp) return refused(ref, "bad_request");
  const wellFormed = isMembers(options) && areOptions(options);
  if (!isKnownOp(op)) return refused(ref, "unknown_op", ...(wellFormed ? [] : ["bad_request"]));
  if (!wellFormed) return refused(ref, "bad_request");
  const { attempts = 1, backoff = 1000, delay = 0, at, timeout, expires, id } = options as {
    [name: string]: number | undefined;
  } & { at?: string; id?: string };
  const { outcome, ms } = run(op, message);
  const runAt = at === undefined ? delay : Date.parse(at) - Date.now();
  const isFailure = outcome !== "any" && "failure" in outcome;
  // A short time limit ends it as well.
  const isLong = ms > QUICK_MS && (timeout === undefined || timeout > LONG_LIMIT_MS);
  const slow = isLong || runAt > QUICK_MS ||
    (isFailure && attempts > 1 && (backoff > 0 || attempts > 10));
  const isSure = !slow && id === undefined && !isRisky(timeout) && !isRisky(expires);
  return {
    is: "task",
    ref,
    codes: id === undefined ? [] : ["conflict"],
    wait: options.wait !== false,
    slow,
    outcome: isSure ? outcome : "any",
    attempts,
  };
}

function isRisky(ms: number | undefined): boolean {
  return ms !== undefined && ms < RISKY_MS;
}

interface Run {
  readonly outcome: Outcome;
  readonly ms: number;
}

const TASK_ERROR: Run = { outcome: { failure: "task_error" }, ms: 0 };

/** What a built-in op makes of its arguments. */
function run(op: string, { n, data, ms, rounds = 1 }: Members): Run {
  switch (op) {
    case "square":
      return square(n);
    case "echo":
      return { outcome: bounded(JSON.stringify(data ?? null)), ms: 0 };
    case "sleep":
      if (typeof ms !== "number" || ms < 0 || ms > 2 ** 31 - 1) return TASK_ERROR;
      return { outcome: { result: JSON.stringify(ms) }, ms };
    default:
      if (typeof data !== "string" || !Number.isSafeInteger(rounds) || (rounds as number) < 1) {
        return TASK_ERROR;
      }
      if ((rounds as number) > QUICK_ROUNDS) return { outcome: "any", ms: Infinity };
      return { outcome: { result: `"${hash(data, rounds as number)}"` }, ms: 0 };
  }
}

function bounded(json: string): Outcome {
  return json.length * 3 <= MAX_RESULT_BYTES || encoder.encode(json).length <= MAX_RESULT_BYTES
    ? { result: json }
    : { failure: "bad_result" };
}

function square(n: unknown): Run {
  if (typeof n === "number" && !Number.isInteger(n)) {
    const product = n * n;
    if (!Number.isFinite(product)) return { outcome: { failure: "bad_result" }, ms: 0 };
    return { outcome: { result: JSON.stringify(product) }, ms: 0 };
  }
  const isDigits = typeof n === "string" && /^-?\d+$/.test(n) &&
    n.replace("-", "").length <= 100_000;
  if (!isDigits && !Number.isSafeInteger(n)) return TASK_ERROR;
  const product = BigInt(n as string | number) ** 2n;
  const result = product <= BigInt(MAX_SAFE) ? `${product}` : `"${product}"`;
  return { outcome: { result }, ms: 0 };
}

function hash(data: string, rounds: number): string {
  let digest = createHash("sha256").update(data, "utf8").digest();
  for (let round = 1; round < rounds; round++) {
    digest = createHash("sha256").update(digest).digest();
  }
  return digest.toString("hex");
}

/** The member that each command's answer has, and the codes that may come in its place. */
const COMMANDS: ReadonlyMap<unknown, { member: string; codes: readonly string[] }> = new Map([
  ["hello", { member: "hello", codes: [] }],
  ["ping", { member: "pong", codes: [] }],
  ["health", { member: "draining", codes: [] }],
  ["get", { member: "created_at", codes: ["not_found"] }],
  ["wait", { member: "finished_at", codes: ["not_found"] }],
  ["list", { member: "tasks", codes: [] }],
  ["cancel", { member: "status", codes: ["not_found", "conflict"] }],
  ["retry", { member: "status", codes: ["not_found", "conflict"] }],
  ["stats", { member: "connections", codes: [] }],
  ["ops", { member: "ops", codes: [] }],
]);

function commandForecast(message: Members, ref: Ref): Forecast {
  const command = COMMANDS.get(message.cmd);
  if (!command) return refused(ref, "unknown_cmd");
  const takesId = ["get", "wait", "cancel", "retry"].includes(message.cmd as string);
  if (takesId && typeof message.task_id !== "string") return refused(ref, "bad_request");
  if (message.cmd === "list" && !isListRequest(message)) return refused(ref, "bad_request");
  return { is: "command", ref, ...command };
}

const STATUSES = ["queued", "delayed", "running", "completed", "failed", "cancelled", "expired"];

function isListRequest(message: Members): boolean {
  const { status, op, cursor, key, since, order } = message;
  return (status === undefined || STATUSES.includes(status as string)) &&
    isInteger(message, "limit", 1, 1000) &&
    (op === undefined || typeof op === "string") &&
    (key === undefined || typeof key === "string") &&
    (since === undefined || (Number.isSafeInteger(since) && (since as number) >= 0)) &&
    (order === undefined || order === "newest" || order === "oldest") &&
    (cursor === undefined || cursor === null ||
      (typeof cursor === "string" && /^\d{1,15}$/.test(cursor)));
}
