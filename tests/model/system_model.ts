/**
 * Some tasks on the same workers: breadth-first, every state that they can be in together. A state of the
 * whole is a number for each task, and states that differ only in which task, worker or client is
 * which are visited once. Tasks meet where a worker process or the server dies: it takes all that it held
 * with it.
 */

import { isFinal } from "../../protocol/task.ts";
import {
  afterCrash,
  afterDeath,
  type Life,
  mirrored,
  steps,
  textOf,
  UNBORN,
  WORKERS,
} from "./life_model.ts";

/** Every life that a task can have, numbered; from each of them where it can go. */
export class LifeGraph {
  readonly lives: Life[] = [];
  /** By life: where each of its own events leads. */
  readonly next: number[][] = [];
  /** By worker, by life: what the death of that worker makes of it; at last, that of the server. */
  readonly dead: number[][] = Array.from({ length: WORKERS + 1 }, () => []);
  readonly #numbers = new Map<string, number>();

  constructor() {
    this.#number(UNBORN);
    for (let at = 0; at < this.lives.length; at++) {
      const life = this.lives[at]!;
      this.next.push([...new Set([...steps(life)].map((step) => this.#number(step.next)))]);
      this.dead.forEach((after, worker) => {
        const next = worker < WORKERS ? afterDeath(life, worker) : afterCrash(life);
        after.push(this.#number(next));
      });
      // Also its mirror images, though every one of them is reached by mirrored events.
      this.mirror(at, "workers");
      this.mirror(at, "clients");
    }
  }

  get size(): number {
    return this.lives.length;
  }

  mirror(at: number, what: "workers" | "clients"): number {
    return this.#number(mirrored(this.lives[at]!, what));
  }

  /**
   * Lives from which no sequence of events leads to an end, were no client ever to act again. The events of
   * one task need nothing of another, so a system is stuck only where one of its tasks is.
   */
  stuck(): Life[] {
    const ends = new Set<number>();
    this.lives.forEach(({ task }, at) => {
      if (!task || isFinal(task.status)) ends.add(at);
    });
    const byWorkers = this.lives.map((life) =>
      [...steps(life)].filter(({ event }) => !/client|cancel|retry|expire/.test(event))
        .map(({ next }) => this.#number(next))
    );
    for (let grown = true; grown;) {
      grown = false;
      byWorkers.forEach((next, at) => {
        if (ends.has(at) || !next.some((one) => ends.has(one))) return;
        ends.add(at);
        grown = true;
      });
    }
    return this.lives.filter((_, at) => !ends.has(at));
  }

  #number(life: Life): number {
    const text = textOf(life);
    let number = this.#numbers.get(text);
    if (number === undefined) {
      number = this.lives.length;
      this.#numbers.set(text, number);
      this.lives.push(life);
    }
    return number;
  }
}

/** Visits every reachable state of three tasks; answers how many there are and how many steps. */
export function explore(graph: LifeGraph): { states: number; steps: number } {
  const system = new ThreeTasks(graph);
  const { next, dead } = graph;
  let states = 0;
  let steps = 0;
  system.visit(0, 0, 0);
  for (let state = system.take(); state; state = system.take()) {
    const [x, y, z] = state;
    for (const a of next[x]!) system.visit(a, y, z);
    for (const b of next[y]!) system.visit(x, b, z);
    for (const c of next[z]!) system.visit(x, y, c);
    for (const after of dead) system.visit(after[x]!, after[y]!, after[z]!);
    states++;
    steps += next[x]!.length + next[y]!.length + next[z]!.length + dead.length;
  }
  return { states, steps };
}

/** The states found so far, and those whose events were not tried yet. */
class ThreeTasks {
  readonly #size: number;
  readonly #mirrors: readonly Uint16Array[];
  /** A bit a state. */
  readonly #seen: Uint8Array;
  #found: number[] = [];
  #taken = 0;

  constructor(graph: LifeGraph) {
    this.#size = graph.size;
    const all = graph.lives.map((_, at) => at);
    const workers = all.map((at) => graph.mirror(at, "workers"));
    const clients = all.map((at) => graph.mirror(at, "clients"));
    const both = all.map((at) => workers[clients[at]!]!);
    this.#mirrors = [all, workers, clients, both].map((mirror) => Uint16Array.from(mirror));
    this.#seen = new Uint8Array(Math.ceil(this.#size ** 3 / 8));
  }

  visit(x: number, y: number, z: number): void {
    const code = this.#canonical(x, y, z);
    const byte = code >> 3;
    const bit = 1 << (code & 7);
    if (this.#seen[byte]! & bit) return;
    this.#seen[byte]! |= bit;
    this.#found.push(code);
  }

  take(): [number, number, number] | undefined {
    const code = this.#found[this.#taken++];
    if (code === undefined) return undefined;
    const size = this.#size;
    return [Math.floor(code / size / size), Math.floor(code / size) % size, code % size];
  }

  /** The least of all equal descriptions of this state. */
  #canonical(x: number, y: number, z: number): number {
    let least = this.#size ** 3;
    for (const mirror of this.#mirrors) {
      let a = mirror[x]!, b = mirror[y]!, c = mirror[z]!;
      if (a > b) [a, b] = [b, a];
      if (b > c) [b, c] = [c, b];
      if (a > b) [a, b] = [b, a];
      const code = (a * this.#size + b) * this.#size + c;
      if (code < least) least = code;
    }
    return least;
  }
}
