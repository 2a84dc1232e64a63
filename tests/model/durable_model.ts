/**
 * One task in memory and on disk: every state of the two together, found by trying every event in every state. Among the
 * events are a commit, a failed commit and the death of the server at any moment. No reply to a client becomes untrue
 * later.
 */

import { isFinal, type Status } from "../../protocol/task.ts";
import {
  initialState,
  type TaskEvent,
  type TaskState,
  transition,
} from "../../server/task/transition.ts";

/** The option of the task: one failure may be followed by another attempt. */
const ATTEMPTS = 2;
const LEASE = 1;

/** `undefined`: there is no such task. */
export interface Durable {
  readonly memory: TaskState | undefined;
  readonly disk: TaskState | undefined;
  /** The client knows that the task is safe. */
  readonly isAcknowledged: boolean;
  /** The end that was reported to a client since the last retry, acknowledged or begun. */
  readonly told: Status | undefined;
  /** A reply said that it is cancelled, or will never start. */
  readonly isCancelTold: boolean;
}

export interface Rules {
  /** Replies leave before the commit: a wrong server, which the model must find. */
  readonly tellsEarly?: boolean;
  /** What is running is kept as such, and found so after a crash. */
  readonly keepsRuns?: boolean;
}

const NOTHING: Durable = {
  memory: undefined,
  disk: undefined,
  isAcknowledged: false,
  told: undefined,
  isCancelTold: false,
};

const EVENTS: readonly TaskEvent[] = [
  { type: "due" },
  { type: "lease", lease: LEASE },
  { type: "complete", lease: LEASE },
  { type: "fail", lease: LEASE, again: true },
  { type: "fail", lease: LEASE, again: false },
  { type: "stop", lease: LEASE },
  { type: "release", lease: LEASE },
  { type: "die", lease: LEASE },
  { type: "cancel" },
  { type: "expire" },
];

/** Every state that can be reached; throws at the first in which a reply is untrue. */
export function exploreDurable(rules: Rules = {}): number {
  const seen = new Map<string, Durable>();
  const found: Durable[] = [NOTHING];
  const trail = new Map<string, string>();
  for (let state = found.pop(); state; state = found.pop()) {
    const from = JSON.stringify(state);
    for (const [event, next] of steps(state, rules)) {
      const text = JSON.stringify(next);
      if (seen.has(text)) continue;
      seen.set(text, next);
      trail.set(text, `${trail.get(from) ?? ""} · ${event}`);
      const fault = faultOf(next);
      if (fault) throw new Error(`${fault} after${trail.get(text)}: ${text}`);
      found.push(next);
    }
  }
  return seen.size;
}

function* steps(state: Durable, rules: Rules): Generator<[event: string, next: Durable]> {
  const { memory, disk } = state;
  if (!memory && !disk) {
    for (const delayed of [false, true]) {
      yield ["submit", tell({ ...NOTHING, memory: initialState(delayed) }, rules.tellsEarly)];
    }
    return;
  }
  // The server dies: what is on disk is all that there is.
  const left = disk && (rules.keepsRuns ? disk : transition(disk, { type: "restart" }) ?? disk);
  if (left || !state.isAcknowledged) yield ["crash", left ? { ...state, memory: left } : NOTHING];
  if (!memory) return;
  for (const event of EVENTS) {
    if (event.type === "fail" && event.again && memory.attempt >= ATTEMPTS) continue;
    const next = transition(memory, event);
    if (next) yield [event.type, tell({ ...state, memory: next }, rules.tellsEarly)];
  }
  const again = transition(memory, { type: "retry" });
  // The client that asks for it knows that earlier replies no longer count.
  if (again && state.told) {
    yield ["retry", { ...state, memory: again, told: undefined, isCancelTold: false }];
  }
  const stored = rules.keepsRuns ? memory : transition(memory, { type: "restart" }) ?? memory;
  yield ["commit", tell({ ...state, disk: stored }, true)];
  // A commit fails: a new task is rolled back, anything else stays to be written.
  if (!disk) yield ["give up", { ...state, memory: undefined }];
}

/** Replies report the state in memory. */
function tell(state: Durable, isTime: boolean | undefined): Durable {
  const { memory } = state;
  if (!isTime || !memory) return state;
  return {
    ...state,
    isAcknowledged: true,
    told: isFinal(memory.status) ? memory.status : state.told,
    isCancelTold: state.isCancelTold || memory.status === "cancelled",
  };
}

function faultOf(
  { memory, disk, isAcknowledged, told, isCancelTold }: Durable,
): string | undefined {
  if (isAcknowledged && !memory && !disk) return "an acknowledged task is lost";
  if (isAcknowledged && !disk) return "a task is acknowledged that is not on disk";
  if (told && memory?.status !== told) return `a task is not ${told}, as a reply said`;
  if (isCancelTold && memory?.status !== "cancelled") return "a cancel is undone";
  if (memory && memory.attempt > ATTEMPTS) return "an attempt too many";
  if (disk?.status === "running") return "a task runs on disk that no worker runs";
  return undefined;
}
