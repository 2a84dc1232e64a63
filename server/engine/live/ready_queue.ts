/**
 * The order in which queued tasks start: higher priority first; within a priority, keys take turns, and all tasks without a
 * key count as one key; within a key, first in first out. A task waits in the lane of its op, key and priority. An entry
 * that stops being ready stays in its lane and is dropped when its turn comes, so a cancel costs nothing here. A key that
 * cannot start a task now is parked.
 */

import { Deque } from "@std/data-structures/deque";

export interface ReadyEntry {
  readonly op: string;
  readonly key: string | undefined;
  readonly priority: number;
  /** Its place: the lower is first. */
  readonly seq: number;
  /** False once the task was cancelled or has expired: the entry is passed over. */
  readonly isReady: boolean;
}

/** The state of a lane in the store of its engine, as far as the order of the queue depends on it. */
export interface StoredLane {
  /** The rest of the lane is on disk, after `lastSeq`: the lane is kept even if it is empty in memory. */
  isSpilled: boolean;
  /** The highest `seq` that was put in here in its turn. */
  lastSeq: number;
  /** The rest on disk cannot be read now: no other lane waits for it. */
  isLate: boolean;
}

/** The entries of one op, one key and one priority. */
export class Lane<Entry extends ReadyEntry> {
  readonly entries = new Deque<Entry>();
  /** It is among the awaited lanes of its level. */
  isAwaited = false;
  /** It is in the ring of its op. */
  isInRing = false;
  /** The turn of its group when it last went to the end of the ring. */
  turn = 0;

  /** `stored` is given by an engine that keeps tasks in a store. */
  constructor(
    readonly group: Group<Entry>,
    readonly op: string,
    readonly stored: StoredLane | undefined,
  ) {}
}

/** All lanes of one key at one priority. */
interface Group<Entry extends ReadyEntry> {
  readonly key: string | undefined;
  readonly level: Level<Entry>;
  readonly lanes: Map<string, Lane<Entry>>;
  /** The clock of its level when it was last served: the lowest is next. */
  turn: number;
  isParked: boolean;
}

/** All groups of one priority. */
interface Level<Entry extends ReadyEntry> {
  readonly priority: number;
  readonly groups: Map<string | undefined, Group<Entry>>;
  /** By op, the lanes in the order of their turns. */
  readonly rings: Map<string, Deque<Lane<Entry>>>;
  /** By op, the lanes whose next entry is on disk and will be read soon; but see `awaits`. */
  readonly awaited: Map<string, Set<Lane<Entry>>>;
  /** See `takeShortened`. */
  readonly shortened: Set<Lane<Entry>>;
  clock: number;
}

export class ReadyQueue<Entry extends ReadyEntry> {
  /** Highest priority first. */
  readonly #levels: Level<Entry>[] = [];
  readonly #newStored: (() => StoredLane) | undefined;
  readonly #shortened = new Set<Lane<Entry>>();

  /** `newStored` makes the state of a lane in the store of the engine, if it has one. */
  constructor(newStored?: () => StoredLane) {
    this.#newStored = newStored;
  }

  push(entry: Entry): void {
    const lane = this.laneOf(entry);
    lane.entries.pushBack(entry);
    // A task that came after others can overtake tasks on disk, which pages must still find behind `lastSeq`.
    const { stored } = lane;
    if (stored && !stored.isSpilled && entry.seq > stored.lastSeq) stored.lastSeq = entry.seq;
    this.#enter(lane);
  }

  /** Puts an entry back that was taken but not started: it is next again in its lane. */
  pushFront(entry: Entry): void {
    const lane = this.laneOf(entry);
    lane.entries.pushFront(entry);
    this.#enter(lane);
  }

  /** Takes the next entry of `ops` that `holds` does not hold back; none while an earlier entry is read from disk. */
  take(ops: ReadonlySet<string>, holds: (entry: Entry) => boolean): Entry | undefined {
    for (const level of this.#levels) {
      for (let lane = next(level, ops); lane; lane = next(level, ops)) {
        if (isBehindAwaited(lane, ops)) return undefined;
        const entry = lane.entries.peekFront() as Entry;
        if (entry.key === undefined || !holds(entry)) {
          lane.entries.popFront();
          serve(lane);
          if (lane.stored?.isSpilled) shorten(lane);
          return entry;
        }
        lane.group.isParked = true;
      }
      if (awaits(level, ops)) return undefined;
    }
    return undefined;
  }

  /** The ops among `ops` with an entry whose key is not parked. */
  startable(ops: ReadonlySet<string>): ReadonlySet<string> {
    const found = new Set<string>();
    for (const level of this.#levels) {
      for (const op of ops) if (front(level, op)) found.add(op);
    }
    return found;
  }

  /** The ops among `ops` with an entry. Looks at every lane: for a short queue. */
  opsIn(ops: ReadonlySet<string>): ReadonlySet<string> {
    const found = new Set<string>();
    for (const { op } of this.heads(Infinity)) if (ops.has(op)) found.add(op);
    return found;
  }

  /** The first entry of each lane; looks at up to `limit` entries. */
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
   * Repairs what no event would: a key that is parked although `isHeld` holds none of its heads, and a lane with entries
   * that is in no ring. Returns the number of repaired heads. Each step looks at one key.
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

  /** Lets a parked key start tasks again. */
  unpark(key: string): void {
    for (const { groups } of this.#levels) {
      const group = groups.get(key);
      if (!group?.isParked) continue;
      group.isParked = false;
      for (const lane of group.lanes.values()) this.#enter(lane);
    }
  }

  /** The lane of such an entry; a new one if there is none. */
  laneOf({ priority, key, op }: Pick<ReadyEntry, "priority" | "key" | "op">): Lane<Entry> {
    const level = this.#level(priority);
    let group = level.groups.get(key);
    if (!group) {
      group = { key, level, lanes: new Map(), turn: level.clock, isParked: false };
      level.groups.set(key, group);
    }
    let lane = group.lanes.get(op);
    if (!lane) group.lanes.set(op, lane = new Lane(group, op, this.#newStored?.()));
    return lane;
  }

  /** The lanes with entries on disk from which an entry was taken here since the last call. */
  takeShortened(): Lane<Entry>[] {
    if (this.#shortened.size === 0) return [];
    const lanes = [...this.#shortened];
    this.#shortened.clear();
    return lanes;
  }

  /** Call it after a change of `lane.stored`. */
  storedChanged(lane: Lane<Entry>): void {
    note(lane);
    forgetIfEmpty(lane);
  }

  #enter(lane: Lane<Entry>): void {
    if (lane.entries.length > 0) enterRing(lane);
    if (lane.stored?.isSpilled) note(lane);
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
      shortened: this.#shortened,
      clock: 0,
    };
    levels.splice(at, 0, level);
    return level;
  }
}

/** The lane whose head is next among `ops`; it is at the front of the ring of its op. */
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

/** The lane of `op` that is next. Drops entries that are not ready on the way. */
function front<Entry extends ReadyEntry>(level: Level<Entry>, op: string) {
  const ring = level.rings.get(op);
  if (!ring) return undefined;
  for (let lane = ring.peekFront(); lane; lane = ring.peekFront()) {
    const { entries, group } = lane;
    while (entries.peekFront()?.isReady === false) {
      entries.popFront();
      if (lane.stored?.isSpilled) shorten(lane);
    }
    if (entries.length === 0 || group.isParked) {
      ring.popFront();
      lane.isInRing = false;
      forgetIfEmpty(lane);
    } else if (lane.turn < group.turn && ring.length > 1) {
      // The key was served by another op since this lane was put here.
      toEnd(ring, lane);
    } else {
      return lane;
    }
  }
  level.rings.delete(op);
  return undefined;
}

/** The lane that comes first: its key was served longer ago or, in one key, its head has the lower `seq`. */
function before<Entry extends ReadyEntry>(a: Lane<Entry> | undefined, b: Lane<Entry> | undefined) {
  if (!a || !b) return a ?? b;
  if (a.group.turn !== b.group.turn) return a.group.turn < b.group.turn ? a : b;
  return seqOf(a) < seqOf(b) ? a : b;
}

/** Call it when an entry has left a lane with more entries on disk. */
function shorten<Entry extends ReadyEntry>(lane: Lane<Entry>): void {
  lane.group.level.shortened.add(lane);
  note(lane);
}

/** Adds `lane` to the awaited lanes of its level, or removes it. */
function note<Entry extends ReadyEntry>(lane: Lane<Entry>): void {
  const { group, op, entries, stored } = lane;
  const isAwaited = stored !== undefined && stored.isSpilled && !stored.isLate &&
    entries.length === 0 && !group.isParked;
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

/** Whether an entry of `ops` that can start is being read from disk for this level. */
function awaits<Entry extends ReadyEntry>({ awaited }: Level<Entry>, ops: ReadonlySet<string>) {
  if (awaited.size === 0) return false;
  for (const op of awaited.size < ops.size ? awaited.keys() : ops) {
    if (!ops.has(op)) continue;
    for (const lane of awaited.get(op) ?? []) {
      if (!lane.group.isParked) return true;
      // It comes back when its key is no longer parked.
      note(lane);
    }
  }
  return false;
}

/** Whether an earlier entry of the same key and priority, and of another of `ops`, can be on its way from disk. */
function isBehindAwaited<Entry extends ReadyEntry>(lane: Lane<Entry>, ops: ReadonlySet<string>) {
  const { lanes, level } = lane.group;
  for (const op of level.awaited.keys()) {
    const other = lanes.get(op);
    if (!other?.isAwaited || !ops.has(op)) continue;
    if ((other.stored as StoredLane).lastSeq < seqOf(lane)) return true;
  }
  return false;
}

function seqOf<Entry extends ReadyEntry>(lane: Lane<Entry>): number {
  return lane.entries.peekFront()?.seq ?? Infinity;
}

/** Call it when an entry of the lane, at the front of its ring, was taken: the others have their turn. */
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
  const { group, entries, stored, isInRing } = lane;
  if (entries.length > 0 || stored?.isSpilled || isInRing) return;
  // Tasks without a key come and go all the time.
  if (group.key === undefined) return;
  group.lanes.delete(lane.op);
  if (group.lanes.size === 0) group.level.groups.delete(group.key);
}
