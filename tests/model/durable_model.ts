/**
 * One task in memory and on disk: every state of the two together, found by trying every event in every
 * state, among them a commit, a commit that fails and the death of the server at any moment. What a
 * client was told must never be untrue afterwards.
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
  /** The end that a client was told of, since the last retry that was acknowledged or begun. */
  readonly told: Status | undefined;
  /** A client was told that it is cancelled, or will never start. */
  readonly isCancelTold: boolean;
}

export interface Rules {
  /** Clients are told before the commit: what must not be, for the model to find. */
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

/** Every state that can be reached; throws at the first in which something that was told is untrue. */
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
  // Whoever asks for it knows that what was told counts no more.
  if (again && state.told) {
    yield ["retry", { ...state, memory: again, told: undefined, isCancelTold: false }];
  }
  const stored = rules.keepsRuns ? memory : transition(memory, { type: "restart" }) ?? memory;
  yield ["commit", tell({ ...state, disk: stored }, true)];
  // A commit fails: a new task is given up, anything else stays to be written.
  if (!disk) yield ["give up", { ...state, memory: undefined }];
}

/** Clients are told what the memory holds. */
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
  if (told && memory?.status !== told) return `a task that was told to be ${told} is not`;
  if (isCancelTold && memory?.status !== "cancelled") return "a cancel is undone";
  if (memory && memory.attempt > ATTEMPTS) return "an attempt too many";
  if (disk?.status === "running") return "a task runs on disk that nobody runs";
  return undefined;
}
