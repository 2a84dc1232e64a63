/**
 * The order in which queued tasks are handed out: higher priority first; within one, keys take turns, and
 * all tasks without a key are one key more; within a key, first in first out. A task waits in the lane of
 * its op, key and priority. An entry that stops being ready stays where it is and is dropped when its turn
 * comes, so that cancelling costs nothing here. A key that may not start anything now is parked.
 */

import { Deque } from "@std/data-structures/deque";

export interface ReadyEntry {
  readonly op: string;
  readonly key: string | undefined;
  readonly priority: number;
  /** Who came first. */
  readonly seq: number;
  /** False once the task was cancelled or expired, and this entry means nothing. */
  readonly isReady: boolean;
}

/** The entries of one op, one key and one priority. */
export class Lane<Entry extends ReadyEntry> {
  readonly entries = new Deque<Entry>();
  /** More of it lies elsewhere, all behind `lastSeq`: it is kept although it may be empty here. */
  isSpilled = false;
  /** The highest `seq` that was put in here in its turn. */
  lastSeq = 0;
  /** Entries on their way elsewhere. */
  leaving: Set<Entry> | undefined = undefined;
  /** More of it is on its way here. */
  isFetching = false;
  /** What lies elsewhere cannot be brought here now: no other lane waits for that. */
  isLate = false;
  /** Among the awaited lanes of its level. */
  isAwaited = false;
  /** In the ring of its op. */
  isInRing = false;
  /** That of its group when it last went to the end of the ring. */
  turn = 0;

  constructor(readonly group: Group<Entry>, readonly op: string) {}
}

/** All lanes of one key at one priority. */
interface Group<Entry extends ReadyEntry> {
  readonly key: string | undefined;
  readonly level: Level<Entry>;
  readonly lanes: Map<string, Lane<Entry>>;
  /** When it was last served: the lowest is next. */
  turn: number;
  isParked: boolean;
}

/** All groups of one priority. */
interface Level<Entry extends ReadyEntry> {
  readonly priority: number;
  readonly groups: Map<string | undefined, Group<Entry>>;
  /** Of each op, the lanes in the order of their turns. */
  readonly rings: Map<string, Deque<Lane<Entry>>>;
  /** Of each op, the lanes that have their next entry elsewhere, soon to come; but see `awaits`. */
  readonly awaited: Map<string, Set<Lane<Entry>>>;
  /** An entry has left a lane of which more lies elsewhere. */
  readonly onLeft: ((lane: Lane<Entry>) => void) | undefined;
  clock: number;
}

export class ReadyQueue<Entry extends ReadyEntry> {
  /** Highest priority first. */
  readonly #levels: Level<Entry>[] = [];
  readonly #onLeft: ((lane: Lane<Entry>) => void) | undefined;

  /** `onLeft`: an entry has left a lane of which more lies elsewhere. */
  constructor(onLeft?: (lane: Lane<Entry>) => void) {
    this.#onLeft = onLeft;
  }

  push(entry: Entry): void {
    const lane = this.laneOf(entry);
    lane.entries.pushBack(entry);
    // A task that came after others may overtake what lies elsewhere; that must still be found behind.
    if (!lane.isSpilled && entry.seq > lane.lastSeq) lane.lastSeq = entry.seq;
    this.#enter(lane);
  }

  /** Puts back what was taken and not used up: it is next again in its lane. */
  pushFront(entry: Entry): void {
    const lane = this.laneOf(entry);
    lane.entries.pushFront(entry);
    this.#enter(lane);
  }

  /**
   * Takes the next entry of one of `ops` that `holds` does not hold back; none while one that comes before it
   * is on its way here.
   */
  take(ops: ReadonlySet<string>, holds: (entry: Entry) => boolean): Entry | undefined {
    for (const level of this.#levels) {
      for (let lane = next(level, ops); lane; lane = next(level, ops)) {
        if (isBehindAwaited(lane, ops)) return undefined;
        const entry = lane.entries.peekFront() as Entry;
        if (entry.key === undefined || !holds(entry)) {
          lane.entries.popFront();
          serve(lane);
          if (lane.isSpilled) left(lane);
          return entry;
        }
        lane.group.isParked = true;
      }
      if (awaits(level, ops)) return undefined;
    }
    return undefined;
  }

  /** Those of `ops` of which there is an entry whose key is not parked. */
  startable(ops: ReadonlySet<string>): ReadonlySet<string> {
    const found = new Set<string>();
    for (const level of this.#levels) {
      for (const op of ops) if (front(level, op)) found.add(op);
    }
    return found;
  }

  /** Those of `ops` of which there is any entry. Looks at every lane: for a short queue. */
  opsIn(ops: ReadonlySet<string>): ReadonlySet<string> {
    const found = new Set<string>();
    for (const { op } of this.heads(Infinity)) if (ops.has(op)) found.add(op);
    return found;
  }

  /** The first entry of each lane that has any here; no more than `limit` entries are looked at. */
  *heads(limit: number): Generator<Entry> {
    let left = limit;
    for (const { groups } of this.#levels) {
      for (const { lanes } of groups.values()) {
        for (const { entries } of lanes.values()) {
          for (const entry of entries) {
            if (left-- === 0) return;
            if (!entry.isReady) continue;
            yield entry;
            break;
          }
        }
      }
    }
  }

  /**
   * Puts right what no event would: a key that is parked though `isHeld` holds none of its heads, a lane with
   * entries that has no turn. Returns how many heads that were. Looks at one key at a step.
   */
  *repair(isHeld: (entry: Entry) => boolean): Generator<void, number> {
    let found = 0;
    for (const { groups } of this.#levels) {
      for (const group of groups.values()) {
        yield;
        const lanes = [...group.lanes.values()].filter(({ entries }) =>
          entries.peekFront()?.isReady
        );
        const wasParked = group.isParked;
        if (lanes.some(({ entries }) => isHeld(entries.peekFront() as Entry))) continue;
        group.isParked = false;
        for (const lane of lanes) {
          if (wasParked || !lane.isInRing) found++;
          this.#enter(lane);
        }
      }
    }
    return found;
  }

  /** The key may start something again. */
  unpark(key: string): void {
    for (const { groups } of this.#levels) {
      const group = groups.get(key);
      if (!group?.isParked) continue;
      group.isParked = false;
      for (const lane of group.lanes.values()) this.#enter(lane);
    }
  }

  /** The lane of such an entry; a new one where there is none. */
  laneOf({ priority, key, op }: Pick<ReadyEntry, "priority" | "key" | "op">): Lane<Entry> {
    const level = this.#level(priority);
    let group = level.groups.get(key);
    if (!group) {
      group = { key, level, lanes: new Map(), turn: level.clock, isParked: false };
      level.groups.set(key, group);
    }
    let lane = group.lanes.get(op);
    if (!lane) group.lanes.set(op, lane = new Lane(group, op));
    return lane;
  }

  /** From now on, entries of the lane lie elsewhere. */
  spill(lane: Lane<Entry>): void {
    if (lane.isSpilled) return;
    lane.isSpilled = true;
    note(lane);
  }

  /** No entry of the lane lies elsewhere any more. */
  unspill(lane: Lane<Entry>): void {
    lane.isSpilled = false;
    note(lane);
    forgetIfEmpty(lane);
  }

  /** Whether what lies elsewhere of the lane cannot be brought here now. */
  setLate(lane: Lane<Entry>, isLate: boolean): void {
    lane.isLate = isLate;
    note(lane);
  }

  #enter(lane: Lane<Entry>): void {
    if (lane.entries.length > 0) enterRing(lane);
    if (lane.isSpilled) note(lane);
  }

  #level(priority: number): Level<Entry> {
    const levels = this.#levels;
    let at = 0;
    for (; at < levels.length; at++) {
      const level = levels[at] as Level<Entry>;
      if (level.priority === priority) return level;
      if (level.priority < priority) break;
    }
    const level: Level<Entry> = {
      priority,
      groups: new Map(),
      rings: new Map(),
      awaited: new Map(),
      onLeft: this.#onLeft,
      clock: 0,
    };
    levels.splice(at, 0, level);
    return level;
  }
}

/** The lane whose head is next among those of `ops`; it is at the front of the ring of its op. */
function next<Entry extends ReadyEntry>(level: Level<Entry>, ops: ReadonlySet<string>) {
  let best: Lane<Entry> | undefined;
  if (level.rings.size <= ops.size) {
    for (const op of level.rings.keys()) {
      if (ops.has(op)) best = before(best, front(level, op));
    }
  } else {
    for (const op of ops) best = before(best, front(level, op));
  }
  return best;
}

/** The lane of `op` that is next; what means nothing any more is dropped on the way. */
function front<Entry extends ReadyEntry>(level: Level<Entry>, op: string) {
  const ring = level.rings.get(op);
  if (!ring) return undefined;
  for (let lane = ring.peekFront(); lane; lane = ring.peekFront()) {
    const { entries, group } = lane;
    while (entries.peekFront()?.isReady === false) {
      entries.popFront();
      if (lane.isSpilled) left(lane);
    }
    if (entries.length === 0 || group.isParked) {
      ring.popFront();
      lane.isInRing = false;
      forgetIfEmpty(lane);
    } else if (lane.turn < group.turn && ring.length > 1) {
      // The key was served by way of another op since this lane was put here.
      toEnd(ring, lane);
    } else {
      return lane;
    }
  }
  level.rings.delete(op);
  return undefined;
}

/** Which of two is first: whose key was served longer ago, then who came first. */
function before<Entry extends ReadyEntry>(a: Lane<Entry> | undefined, b: Lane<Entry> | undefined) {
  if (!a || !b) return a ?? b;
  if (a.group.turn !== b.group.turn) return a.group.turn < b.group.turn ? a : b;
  return seqOf(a) < seqOf(b) ? a : b;
}

/** An entry has left a lane of which more lies elsewhere. */
function left<Entry extends ReadyEntry>(lane: Lane<Entry>): void {
  lane.group.level.onLeft?.(lane);
  note(lane);
}

/** Keeps the awaited lanes of the level in step with `lane`. */
function note<Entry extends ReadyEntry>(lane: Lane<Entry>): void {
  const { group, op, entries, isSpilled, isLate } = lane;
  const isAwaited = isSpilled && !isLate && entries.length === 0 && !group.isParked;
  if (isAwaited === lane.isAwaited) return;
  lane.isAwaited = isAwaited;
  const { awaited } = group.level;
  const lanes = awaited.get(op);
  if (!isAwaited) {
    lanes?.delete(lane);
    if (lanes?.size === 0) awaited.delete(op);
  } else if (lanes) lanes.add(lane);
  else awaited.set(op, new Set([lane]));
}

/** Whether an entry of one of `ops` that may start is on its way to this level. */
function awaits<Entry extends ReadyEntry>({ awaited }: Level<Entry>, ops: ReadonlySet<string>) {
  if (awaited.size === 0) return false;
  for (const op of awaited.size < ops.size ? awaited.keys() : ops) {
    if (!ops.has(op)) continue;
    for (const lane of awaited.get(op) ?? []) {
      if (!lane.group.isParked) return true;
      // It comes back when the key is not held any more.
      note(lane);
    }
  }
  return false;
}

/** Whether an entry of the same key and priority and of one of `ops`, on its way here, may come before its head. */
function isBehindAwaited<Entry extends ReadyEntry>(lane: Lane<Entry>, ops: ReadonlySet<string>) {
  const { lanes, level } = lane.group;
  for (const op of level.awaited.keys()) {
    const other = lanes.get(op);
    if (other?.isAwaited && ops.has(op) && other.lastSeq < seqOf(lane)) return true;
  }
  return false;
}

function seqOf<Entry extends ReadyEntry>(lane: Lane<Entry>): number {
  return lane.entries.peekFront()?.seq ?? Infinity;
}

/** An entry of the lane, at the front of its ring, was taken: the others have their turn. */
function serve<Entry extends ReadyEntry>(lane: Lane<Entry>): void {
  const { group, entries } = lane;
  group.turn = ++group.level.clock;
  const ring = group.level.rings.get(lane.op) as Deque<Lane<Entry>>;
  if (entries.length === 0) {
    ring.popFront();
    lane.isInRing = false;
    if (ring.length === 0) group.level.rings.delete(lane.op);
    forgetIfEmpty(lane);
  } else if (ring.length > 1) {
    toEnd(ring, lane);
  }
}

function toEnd<Entry extends ReadyEntry>(ring: Deque<Lane<Entry>>, lane: Lane<Entry>): void {
  ring.popFront();
  lane.turn = lane.group.turn;
  ring.pushBack(lane);
}

function enterRing<Entry extends ReadyEntry>(lane: Lane<Entry>): void {
  const { group } = lane;
  if (lane.isInRing || group.isParked) return;
  const { rings } = group.level;
  let ring = rings.get(lane.op);
  if (!ring) rings.set(lane.op, ring = new Deque<Lane<Entry>>());
  lane.isInRing = true;
  lane.turn = group.turn;
  ring.pushBack(lane);
}

function forgetIfEmpty<Entry extends ReadyEntry>(lane: Lane<Entry>): void {
  const { group, entries, isSpilled, isInRing } = lane;
  // The lane of tasks without a key comes and goes all the time.
  if (entries.length > 0 || isSpilled || isInRing || group.key === undefined) return;
  group.lanes.delete(lane.op);
  if (group.lanes.size === 0) group.level.groups.delete(group.key);
}
