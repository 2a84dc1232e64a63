/**
 * How many tasks travel at a time: quick ones in large batches, so that a message costs little for
 * each; slow ones one by one, so that none waits behind another while a worker is free. Pure: run
 * times in, numbers out.
 */

import { MAX_CREDIT } from "../../protocol/limits.ts";

/** What a worker has in hand at most, in run time: so long a task waits for the one before it. */
const BATCH_MICROS = 2000;
export const MAX_DEPTH = 128;
/** Less work than this is not worth to wake a second worker for. */
export const WAKE_MICROS = 100;
/** Of slower tasks than these no worker has the next in hand while it runs one. */
const AHEAD_MICROS = 25_000;
/** Work that another worker has waiting is worth to be fetched from so much on. */
export const FETCH_MICROS = 1000;
/** A task that has run so long is a long one, where tasks are not all so long. */
const LONG_MS = 10;
/** A worker may be late by so much before its tasks count as slower than they were. */
const LATE_MICROS = 1000;
/** Before the first result is in: as if each task took so long. */
export const UNKNOWN_MICROS = 2000;
/** A change of credit by less than this part of it is not worth a message. */
const WORTH_TELLING = 1 / 8;

/** Tasks in one message to a worker whose tasks take `micros` each. */
export function depthOf(micros: number): number {
  return Math.max(1, Math.min(MAX_DEPTH, Math.floor(BATCH_MICROS / micros)));
}

/** Tasks that such a worker holds at most: while it runs a batch the next one is there already. */
export function capacityOf(micros: number): number {
  return micros > AHEAD_MICROS ? 1 : 2 * depthOf(micros);
}

/** After so many ms of one task, those behind it on its worker are better off elsewhere. */
export function patienceOf(micros: number): number {
  return Math.max(LONG_MS, 2 * micros / 1000);
}

/** Tasks to give a worker now that holds `held`, of `waiting` ones. */
export function shareOf({ micros, held, waiting }: {
  micros: number;
  held: number;
  waiting: number;
}): number {
  const depth = depthOf(micros);
  // It has more than a batch before it: better a whole one behind that, later, than a few tasks now.
  if (held > depth) return 0;
  const room = Math.min(capacityOf(micros) - held, depth, waiting);
  const load = held * micros;
  if (load >= WAKE_MICROS) return room;
  return Math.min(room, Math.ceil((WAKE_MICROS - load) / micros));
}

/**
 * Work in µs that a worker has in hand with `held` tasks, when nothing was heard of it for
 * `quietMicros`: one that is late has met a task that takes longer, nobody knows how much longer.
 */
export function loadOf({ micros, held, quietMicros }: {
  micros: number;
  held: number;
  quietMicros: number;
}): number {
  const load = held * micros;
  return held > 0 && quietMicros > load + LATE_MICROS ? quietMicros : load;
}

/**
 * Tasks that a pool holds at most, where the workers' tasks take so many µs each. With quick tasks the
 * pipeline to the server is kept full; of slow ones the pool holds what its workers have in hand.
 */
export function creditFor(workersMicros: readonly number[]): number {
  let credit = 0;
  for (const micros of workersMicros) {
    const capacity = capacityOf(micros);
    credit += depthOf(micros) === 1 ? capacity : 2 * capacity;
  }
  return Math.min(MAX_CREDIT, credit);
}

/** Whether a credit of `next` is worth a message to a server that knows of `told`. */
export function isWorthTelling(told: number, next: number): boolean {
  return Math.abs(next - told) >= Math.max(1, told * WORTH_TELLING);
}
