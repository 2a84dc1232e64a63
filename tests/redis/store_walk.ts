/**
 * Random writes for two stores at once: every read of the one must be answered as by the other. The sqlite store is the
 * oracle. Texts are odd, numbers are large, and many tasks share a moment.
 */

import { assertEquals } from "@std/assert";
import {
  type Cell,
  LOG_KIND,
  type Opened,
  STORED_STATUSES,
  type StoredTask,
  type TaskStore,
  type Write,
} from "../../server/engine/journaled/task_store.ts";
import { logToText } from "../../server/task/task_log.ts";
import type { Random } from "../fuzz/random.ts";

const OPS = ["square", "echo", "\u0000", "\ud800x", "a\tb\nc", "ü\u{1F600}"];
const KEYS = [null, "", "k", "\u0000", "\udfff", '"\\', "null"];
const TEXTS = ['{"n":4}', "", "\u0000", "\ud83d", "a\nb\tc", '"', "x".repeat(300), "\u2028ü"];
const MAX = Number.MAX_SAFE_INTEGER;

interface Row {
  ord: number;
  id: string;
  status: number;
}

export class StoreWalk {
  readonly #random: Random;
  readonly rows: Row[] = [];
  #ord = 0;
  #seq = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Up to `most` new rows, and changes of older ones. */
  write(most: number): Write {
    const random = this.#random;
    const inserts: Cell[] = [];
    const updates: Cell[] = [];
    const fresh: Row[] = [];
    for (let n = random.int(0, most); n > 0; n--) {
      this.#ord += random.chance(0.05) ? 1 + random.int(0, 4999) : 1;
      const status = random.chance(0.5) ? 0 : random.int(0, STORED_STATUSES.length - 1);
      const given = random.chance(0.3);
      const id = given ? `id-${this.#ord}` : uuidOf(this.#ord);
      inserts.push(
        this.#ord,
        id,
        given ? 1 : 0,
        random.pick(OPS),
        random.pick(TEXTS),
        random.chance(0.5) ? null : random.pick(TEXTS),
        random.pick(KEYS),
        random.int(0, 4) - 2,
        random.int(0, 999),
        random.chance(0.3) ? random.int(0, 999) : null,
      );
      this.#state(inserts, status);
      fresh.push({ ord: this.#ord, id, status });
    }
    const touched = new Set<Row>();
    for (let n = random.int(0, most); n > 0 && this.rows.length > 0; n--) {
      const row = random.pick(this.rows);
      if (touched.has(row)) continue;
      touched.add(row);
      const status = random.int(0, STORED_STATUSES.length - 1);
      updates.push(row.ord, row.status);
      this.#state(updates, status);
      row.status = status;
    }
    this.rows.push(...fresh);
    const logged = random.chance(0.5) ? this.rows.slice(-3) : [];
    return {
      inserts,
      updates,
      attachments: logged.map(({ ord }) => [ord, LOG_KIND, logText(random.pick(TEXTS))] as const),
      settings: random.chance(0.7) ? [] : [[
        random.pick(TEXTS.slice(2)),
        random.chance(0.3) ? null : random.pick(TEXTS),
      ]],
    };
  }

  #state(cells: Cell[], status: number): void {
    const random = this.#random;
    this.#seq += 1 + random.int(0, 2);
    cells.push(
      status,
      this.#seq,
      random.chance(0.02) ? MAX : random.int(0, 3),
      random.int(0, 2),
      random.int(0, 2),
      random.int(0, 999),
      random.int(0, 999),
      status >= 3 && random.chance(0.3) ? random.int(0, 999) : null,
      random.chance(0.5) ? null : random.pick(TEXTS),
      random.chance(0.8) ? null : random.pick(TEXTS),
      random.chance(0.8) ? null : random.pick(TEXTS),
    );
  }

  /** Asks both for the same, and compares the answers. */
  async compare(one: TaskStore, other: TaskStore): Promise<void> {
    const random = this.#random;
    const some = Array.from(
      { length: Math.min(20, this.rows.length) },
      () => random.pick(this.rows),
    );
    const ids = [...some.map(({ id }) => id), "unknown", uuidOf(MAX), "\u0000"];
    const ords = [...some.map(({ ord }) => ord), 0];
    const size = { limit: 1 + random.int(0, 29), maxChars: random.chance(0.3) ? 100 : 1e6 };
    const statuses = STORED_STATUSES.map((_, i) => i).filter(() => random.chance(0.4));
    const op = random.chance(0.5) ? null : random.pick(OPS);
    const key = random.chance(0.5) ? null : random.pick(KEYS);
    const priority = random.int(0, 4) - 2;
    const oldestFirst = random.chance(0.5);
    const createdSince = random.chance(0.5) ? 0 : random.int(0, 999);
    const read = async (store: TaskStore) => ({
      find: await store.call("find", { ids }),
      logs: await store.call("attachments", { kind: LOG_KIND, ords }),
      lane: await walk(0, (seq) =>
        store.call("lane", {
          ...size,
          priority,
          key,
          op: op ?? "square",
          seq,
        }), ({ seq }) => seq),
      due: await walk(
        { runAt: -1, ord: 0 },
        (place) => store.call("due", { ...size, ...place }),
        ({ runAt, ord }) => ({ runAt, ord }),
      ),
      waiting: await walk(0, (ord) => store.call("waiting", { ...size, ord }), ({ ord }) => ord),
      expired: await store.call("expired", { now: 500, limit: 1e4, maxChars: 1e9 }),
      list: await list(store, { ...size, oldestFirst, statuses, op, key, createdSince }),
      ahead: await store.call("ahead", { priority, seq: this.#seq >> 1, limit: 1e6 }),
    });
    assertEquals(await read(one), await read(other));
  }
}

/** What both found when they were opened again. */
export function sameOpened(one: Opened, other: Opened): void {
  const ordered = ({ counts, lanes, queuedOps, settings }: Opened) => ({
    counts,
    lanes: lanes.map((lane) => JSON.stringify([lane.priority, lane.key, lane.op])).toSorted(),
    queuedOps: queuedOps.toSorted(),
    settings: settings.toSorted(),
  });
  assertEquals(ordered(one), ordered(other));
}

async function walk<Place>(
  from: Place,
  ask: (place: Place) => Promise<StoredTask[]>,
  placeOf: (task: StoredTask) => Place,
): Promise<StoredTask[]> {
  const all: StoredTask[] = [];
  for (let place = from;;) {
    const rows = await ask(place);
    if (rows.length === 0) return all;
    all.push(...rows);
    place = placeOf(rows.at(-1)!);
  }
}

async function list(
  store: TaskStore,
  ask: Omit<Parameters<typeof store.call<"list">>[1], "ord">,
): Promise<StoredTask[]> {
  const all: StoredTask[] = [];
  for (let ord: number | null = ask.oldestFirst ? 0 : MAX; ord !== null;) {
    const { tasks, next }: { tasks: StoredTask[]; next: number | null } = await store.call("list", {
      ...ask,
      ord,
    });
    all.push(...tasks);
    ord = next;
  }
  return all;
}

function logText(text: string): string {
  return logToText([{ n: 1, at: 1, attempt: 1, retries: 0, level: "info", text }]);
}

function uuidOf(ord: number): string {
  return `01900000-0000-7000-8000-${ord.toString(16).padStart(12, "0").slice(-12)}`;
}
