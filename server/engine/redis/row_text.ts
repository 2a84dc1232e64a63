/**
 * A row as text in Redis. The first lines are for scripts, which must not decode JSON: Lua would change numbers and refuse
 * lone surrogates. The last line is JSON, in which no text contains a raw newline or tab. To change a row, add cells at the
 * end of the JSON, and keep reading the old text.
 *
 *     status finishedAt dropAt charactersOfResult
 *     given createdAt expiresAt charactersOfPayload id
 *     priority TAB key TAB op
 *     [payload, options, seq, runAt, attempt, deaths, startedAt, result, error, trail]
 *
 * A state that was written later is the first line, and the JSON from `seq` on.
 */

import {
  type Cell,
  FIXED_COLUMNS,
  type LaneQuery,
  STATE_COLUMNS,
  STORED_STATUSES,
  type StoredTask,
} from "../journaled/task_store.ts";

export const ROW_CELLS = FIXED_COLUMNS.length + STATE_COLUMNS.length;
/** Cells of an update before its state: `ord`, and the status that the row has. */
export const UPDATE_HEAD = 2;
export const CHANGE_CELLS = UPDATE_HEAD + STATE_COLUMNS.length;

type Cells = readonly Cell[];

/** The lane of a new row, whose cells begin at `at`. */
export function laneAt(cells: Cells, at: number): string {
  return laneText({
    priority: cells[at + 7] as number,
    key: cells[at + 6] as string | null,
    op: cells[at + 3] as string,
  });
}

export function laneText({ priority, key, op }: LaneQuery): string {
  return `${priority}\t${key === null ? "" : JSON.stringify(key)}\t${JSON.stringify(op)}`;
}

export function laneOf(text: string): LaneQuery {
  const [priority, key, op] = text.split("\t") as [string, string, string];
  return {
    priority: Number(priority),
    key: key === "" ? null : JSON.parse(key) as string,
    op: JSON.parse(op) as string,
  };
}

/** The text of a new row. */
export function rowText(cells: Cells, at: number, lane: string): string {
  const state = at + FIXED_COLUMNS.length;
  const { length } = cells[at + 4] as string;
  const id = JSON.stringify(cells[at + 1]);
  const fixed = `${cells[at + 2]} ${cells[at + 8]} ${cells[at + 9] ?? "-"} ${length} ${id}`;
  const rest = JSON.stringify([cells[at + 4], cells[at + 5], ...restOf(cells, state)]);
  return `${headText(cells, state)}\n${fixed}\n${lane}\n${rest}`;
}

/** The text of a state, whose cells begin at `at`. */
export function stateText(cells: Cells, at: number): string {
  return `${headText(cells, at)}\n${JSON.stringify(restOf(cells, at))}`;
}

function headText(cells: Cells, at: number): string {
  const chars = (cells[at + 8] as string | null)?.length ?? 0;
  return `${cells[at]} ${cells[at + 6]} ${cells[at + 7] ?? "-"} ${chars}`;
}

function restOf(c: Cells, at: number): Cell[] {
  return [
    c[at + 1] as Cell,
    c[at + 2] as Cell,
    c[at + 3] as Cell,
    c[at + 4] as Cell,
    c[at + 5] as Cell,
    c[at + 8] as Cell,
    c[at + 9] as Cell,
    c[at + 10] as Cell,
  ];
}

/** The task of a row and its state since, `""` if it has none; `undefined` if they are not what was written. */
export function taskOfText(ord: string, row: string, state: string): StoredTask | undefined {
  try {
    const [head, fixed, lane, rest, ...more] = row.split("\n") as [string, string, string, string];
    const [stateHead, stateRest] = (state === "" ? [head, undefined] : state.split("\n")) as [
      string,
      string | undefined,
    ];
    const [status, finishedAt, dropAt] = stateHead.split(" ") as [string, string, string];
    const parts = /^([01]) (\d+) (\d+|-) \d+ (.*)$/.exec(fixed);
    if (!parts || more.length > 0) return undefined;
    const [, given, createdAt, expiresAt, id] = parts as unknown as string[];
    const [payload, options, ...first] = JSON.parse(rest);
    const [seq, runAt, attempt, deaths, startedAt, result, error, trail] = stateRest === undefined
      ? first
      : JSON.parse(stateRest);
    const { key, priority, op } = laneOf(lane);
    const task: StoredTask = {
      ord: Number(ord),
      id: JSON.parse(id!) as string,
      given: Number(given),
      op,
      payload,
      options,
      key,
      priority,
      createdAt: Number(createdAt),
      expiresAt: expiresAt === "-" ? null : Number(expiresAt),
      status: Number(status),
      seq,
      runAt,
      attempt,
      deaths,
      startedAt,
      finishedAt: Number(finishedAt),
      dropAt: dropAt === "-" ? null : Number(dropAt),
      result,
      error,
      trail,
    };
    return isSound(task) ? task : undefined;
  } catch {
    return undefined;
  }
}

function isSound({ status, payload, seq, runAt, attempt, trail, finishedAt }: StoredTask): boolean {
  return STORED_STATUSES[status] !== undefined && typeof payload === "string" &&
    [seq, runAt, attempt, finishedAt].every(Number.isSafeInteger) && trail !== undefined;
}
