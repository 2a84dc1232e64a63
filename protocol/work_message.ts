/**
 * The messages on a work link, between a server and a worker process. Leased tasks and results are the hot path: they are
 * written and read as text, with `"lease"` always first, so that a payload or a result is parsed once, by the thread that
 * needs it. All other messages are plain JSON.
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
 * Both ends ignore a message that they do not know. An addition is announced in the first line or in the answer to it, and
 * used only if the other side announced it; it needs no new version. To change a known message, raise WORK_VERSION, and
 * speak the version before as well for at least one release: in a rolling update workers and servers differ by one.
 */

import type { ErrorBody, FailureCode } from "./errors.ts";
import type { OpSpec } from "./op_spec.ts";
import type { LogLevel, Progress } from "./task.ts";

/** The version that this release speaks best. */
export const WORK_VERSION = 3;
/** The oldest version that it speaks as well. */
export const OLDEST_WORK_VERSION = 3;

/**
 * The newest version that both sides speak; `undefined` if there is none. `oldest` is absent in releases that speak one
 * version only.
 */
export function commonWorkVersion(
  { version, oldest = version }: { readonly version?: unknown; readonly oldest?: unknown },
): number | undefined {
  if (!isVersion(version) || !isVersion(oldest) || oldest > version) return undefined;
  const common = Math.min(version, WORK_VERSION);
  return common >= Math.max(oldest, OLDEST_WORK_VERSION) ? common : undefined;
}

function isVersion(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

const LEASE_PREFIX = '{"lease":';
const RESULT_MARK = ',"result":';
const ZERO = 48, NINE = 57, COMMA = 44;

/** The first line of a work link; on a sealed link, the first line under the seal (link_seal.ts). */
export interface WorkHello {
  cmd: "work";
  version: number;
  /** The oldest version that the process speaks as well; absent: only `version`. */
  oldest?: number;
  /** For a link without a seal; on a sealed link, the seal proves the secret. */
  secret?: string;
  workers: number;
  /** Most tasks that the pool holds at first; it reports `credit` when that changes. */
  credit: number;
  ops: OpSpec[];
  pid: number;
  /** The name of its machine, for people. */
  machine?: string | undefined;
  /** The name of the pool: `local` is the server's own. A process replaces another one with the same name. */
  pool?: string;
  /** The process runs one task, of an op with a process for each run, and ends. */
  single?: true;
  /** The process writes `alive` as often as the server asks: silence means that it is frozen, or disconnected. */
  alive?: true;
  /** A name that only this process has: it goes on with its runs when a link is lost, and reads `held` in the answer. */
  instance?: string;
  /** The highest lease number that it was given on any link; the server gives it higher ones. */
  last?: number;
  /** The runs that it goes on with, from the link before. */
  holds?: HeldLease[];
  /** It finishes the runs that it holds, and takes no more; it names no op then. */
  leaving?: true;
}

/** A run that a process goes on with; `startedAt` is in ms since 1970, by its clock. */
export type HeldLease = [id: string, attempt: number, startedAt: number, lease: number];

/** The server's answer to `WorkHello`. */
export interface WorkWelcome {
  work: "ok";
  /** The version that both sides speak from now on; absent: 3. */
  version?: number;
  lease_ms: number;
  /** Time between two `alive` of either side, in ms; absent: the worker process writes none. */
  alive_ms?: number;
  /** How long a process may go on with its runs without a server, in ms; absent: it must stop them at once. */
  hold_ms?: number;
  /** Silence of the server after which the process must stop its runs, in ms: another server may have taken over. */
  silent_ms?: number;
  /** The lease numbers among its `holds` that are valid again, on this link. The others are lost. */
  held?: number[];
}

/** Server to pool, except leased tasks. */
export type ServerOrder =
  /** Stop these tasks and report them. */
  | { cancel: number[] }
  /** These leases ran out and were reclaimed: stop the tasks, report nothing. */
  | { lost: number[] }
  /** Check these submits by the schemas of their ops. Answered once. */
  | { check: number; submits: [op: string, line: string][] }
  /** A sign of life. */
  | { alive: true }
  /** The link carried bytes that the pool did not seal: task code has written to it. */
  | { forged: string };

/** Why arguments do not fit the schema of their op. */
export interface SchemaFault {
  /** The wrong member, like `user.emails[2]`; empty for the arguments as a whole. */
  path: string;
  message: string;
}

/** An entry of a task's log; `at` is in ms since 1970. */
export type LogEntry = [at: number, level: LogLevel, text: string];

/** Pool to server, except results. */
export type PoolReport =
  | { lease: number; error: ErrorBody<FailureCode>; retry?: false }
  | { lease: number; cancelled: true }
  | { lease: number; progress: Progress }
  /** `dropped`: number of earlier entries that were left out. */
  | { lease: number; log: LogEntry[]; dropped?: number }
  /** These tasks have not started: other workers can have them. */
  | { release: number[] }
  /** These tasks are still held. */
  | { renew: number[] }
  /** Most tasks that the pool holds from now on. */
  | { credit: number }
  /** The answer to `check`: the fault of each submit, or null. */
  | { checked: number; faults: (SchemaFault | null)[] }
  /** A sign of life. */
  | { alive: true }
  /** The process is about to end, because these tasks do not stop. Each fails for its reason. */
  | { retire: [lease: number, reason: RetireReason][] }
  /** Bytes that the server has sent are missing: task code has read from the link. */
  | { forged: string };

/** Why a running task is stopped. `memory`: it takes more than a worker's share. */
export type StopReason = "timeout" | "cancel" | "lost" | "memory";
/** Why a task ends with its process. `suspect`: the process took too much memory, perhaps by this task. */
export type RetireReason = StopReason | "suspect";

/** A leased task before it is written; `payload` is the line that the client sent. */
interface LeaseToWrite {
  readonly attempt: number;
  readonly timeoutMs: number;
  readonly id: string;
  readonly payload: string;
  /** Results of the tasks that it came after, as a JSON object; `undefined` if it came after none. */
  readonly after?: string | undefined;
}

/** A leased task as text; `lease` is the number of its lease on this link. */
export function leasedTaskLine(lease: number, task: LeaseToWrite): string {
  const { after } = task;
  // Its length comes before it, so that a worker need not parse it until a handler asks for it.
  const results = after === undefined ? "" : `"after_chars":${after.length},"after":${after},`;
  return `{"lease":${lease},"attempt":${task.attempt},"timeout":${task.timeoutMs},` +
    `"id":"${task.id}",${results}"submit":${task.payload}}`;
}

/** A leased task, parsed. */
export interface LeasedTaskMessage {
  lease: number;
  attempt: number;
  timeout: number;
  id: string;
  after_chars?: number;
  after?: Record<string, unknown>;
  submit: Record<string, unknown> & { op: string };
}

/** The line of a result; `json` is the result in JSON. */
export function resultLine(lease: number, json: string): string {
  return `{"lease":${lease},"result":${json}}`;
}

/** The lease number of a line that begins with one, otherwise 0. */
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
