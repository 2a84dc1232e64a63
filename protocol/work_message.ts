/**
 * What travels on a work link, between a server and a worker process. Leased tasks and their results
 * are the hot path: they are built and taken apart as text, `"lease"` always first, so that a payload
 * or a result is parsed once, by the thread that needs it. All other messages are plain JSON.
 *
 *     server → pool   {"lease":7,"attempt":1,"timeout":60000,"id":"…","submit":{…the submitted line…}}
 *                     {…"id":"…","after_chars":9,"after":{…},"submit":{…}}   of one that came after others
 *                     {"cancel":[7]}   {"lost":[7]}   {"check":1,"submits":[…]}   {"alive":true}   {"forged":"…"}
 *     pool → server   {"cmd":"work",…}            first, and answered
 *                     {"lease":7,"result":49}     {"lease":7,"error":{…}}   {"lease":7,"cancelled":true}
 *                     {"lease":7,"progress":{…}}  {"lease":7,"log":[…]}
 *                     {"release":[7]}   {"renew":[7]}   {"credit":64}   {"retire":[[7,"timeout"]]}
 *                     {"checked":1,"faults":[…]}   {"alive":true}   {"forged":"…"}
 *
 * Both ends pass over a message that they do not know. To change one that they know, change both ends and raise
 * WORK_VERSION; what is only added is announced in the first line, and in the answer to it, and used where the
 * other side has announced it.
 */

import type { ErrorBody, FailureCode } from "./errors.ts";
import type { OpSpec } from "./op_spec.ts";
import type { LogLevel, Progress } from "./task.ts";

export const WORK_VERSION = 3;

const LEASE_PREFIX = '{"lease":';
const RESULT_MARK = ',"result":';
const ZERO = 48, NINE = 57, COMMA = 44;

/** The first line of a work link; of a sealed one, the first line under its seal (link_seal.ts). */
export interface WorkHello {
  cmd: "work";
  version: number;
  /** Of a link without a seal: on a sealed one, that it could be opened proves the same. */
  secret?: string;
  workers: number;
  /** Tasks that the pool will hold at first; it says `credit` when that changes. */
  credit: number;
  ops: OpSpec[];
  pid: number;
  /** Which pool this is: `local` is the server's own; another process of the same name takes its place. */
  pool?: string;
  /** It runs one task, of an op that asks for a process of its own, and ends. */
  single?: true;
  /** It writes `alive` as often as the server asks: silence means that it is frozen, or cut off. */
  alive?: true;
}

/** The server's answer to `WorkHello`. */
export interface WorkWelcome {
  work: "ok";
  lease_ms: number;
  /** Time between two `alive` of either side, in ms; absent: the worker process writes none. */
  alive_ms?: number;
}

/** Server to pool, everything but leased tasks. */
export type ServerOrder =
  /** Stop these tasks and say so. */
  | { cancel: number[] }
  /** These leases ran out and were taken back: stop the tasks, say nothing. */
  | { lost: number[] }
  /** Check arguments by the schemas of their ops: of each, the op and the submitted line. Answered once. */
  | { check: number; submits: [op: string, line: string][] }
  /** Nothing but a sign of life. */
  | { alive: true }
  /** On this link came bytes that the pool has not sealed: task code does not keep to its own. */
  | { forged: string };

/** Why arguments do not fit the schema of their op. */
export interface SchemaFault {
  /** Of the member that is wrong, like `user.emails[2]`; empty where it is the whole. */
  path: string;
  message: string;
}

/** What a task said: when (ms since 1970), how loud, what. */
export type LogEntry = [at: number, level: LogLevel, text: string];

/** Pool to server, everything but results. */
export type PoolReport =
  | { lease: number; error: ErrorBody<FailureCode>; retry?: false }
  | { lease: number; cancelled: true }
  | { lease: number; progress: Progress }
  /** `dropped`: what it said before these, and was too much. */
  | { lease: number; log: LogEntry[]; dropped?: number }
  /** Not started, and other workers may have them. */
  | { release: number[] }
  /** Still held. */
  | { renew: number[] }
  /** From now on the pool will hold so many tasks at most. */
  | { credit: number }
  /** The answer to `check`: of each submit its fault, or null. */
  | { checked: number; faults: (SchemaFault | null)[] }
  /** Nothing but a sign of life. */
  | { alive: true }
  /** This process is about to end, since these tasks would not stop. Each ends for its reason. */
  | { retire: [lease: number, reason: RetireReason][] }
  /** Of what the server has sent on this link, bytes are missing: task code does not keep to its own. */
  | { forged: string };

/** Why a running task is stopped. `memory`: it takes more than a worker's share. */
export type StopReason = "timeout" | "cancel" | "lost" | "memory";
/** `suspect`: the process took too much memory while it ran, and nobody knows whose it is. */
export type RetireReason = StopReason | "suspect";

/** A leased task as it is written: `payload` is the line that the client sent. */
export interface LeaseToWrite {
  readonly attempt: number;
  readonly timeoutMs: number;
  readonly id: string;
  readonly payload: string;
  /** Results of the tasks that it came after, a JSON object; of a task that has any. */
  readonly after?: string | undefined;
}

/** A leased task as text; `lease` is the number of its lease on this link. */
export function leasedTaskLine(lease: number, task: LeaseToWrite): string {
  const { after } = task;
  // Its length goes before it, so that a worker can leave it unread until a handler asks for it.
  const results = after === undefined ? "" : `"after_chars":${after.length},"after":${after},`;
  return `{"lease":${lease},"attempt":${task.attempt},"timeout":${task.timeoutMs},` +
    `"id":"${task.id}",${results}"submit":${task.payload}}`;
}

/** A leased task once a worker has parsed it. */
export interface LeasedTaskMessage {
  lease: number;
  attempt: number;
  timeout: number;
  id: string;
  after_chars?: number;
  after?: Record<string, unknown>;
  submit: Record<string, unknown> & { op: string };
}

/** A result as text; `json` is the result in JSON. */
export function resultLine(lease: number, json: string): string {
  return `{"lease":${lease},"result":${json}}`;
}

/** The lease number of a line that begins with one, else 0. */
export function leaseOf(line: string): number {
  if (!line.startsWith(LEASE_PREFIX)) return 0;
  let lease = 0;
  for (let i = LEASE_PREFIX.length; i < line.length; i++) {
    const code = line.charCodeAt(i);
    if (code === COMMA) return Number.isSafeInteger(lease) ? lease : 0;
    if (code < ZERO || code > NINE) return 0;
    lease = lease * 10 + (code - ZERO);
  }
  return 0;
}

/** The JSON of the result in `line`, for which `leaseOf` found a lease; `undefined` for any other report. */
export function resultJsonOf(line: string): string | undefined {
  const mark = line.indexOf(",", LEASE_PREFIX.length);
  if (!line.startsWith(RESULT_MARK, mark)) return undefined;
  return line.slice(mark + RESULT_MARK.length, -1);
}
