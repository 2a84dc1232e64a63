/**
 * Leased tasks that no worker has yet, as lines in the order in which they came: one queue for each profile. `Pool`
 * puts them in and takes them out.
 */

import { awake } from "../../net/awake_clock.ts";
import type { Profile } from "./profile.ts";

/** The profiles of the ops, as far as the backlogs need them. */
interface ProfiledOps {
  readonly base: Profile;
  /** Whether there is more than one profile. */
  readonly hasSpecial: boolean;
  profileOf(op: string): Profile;
}

interface Queue {
  readonly lines: LineQueue;
  /** When a line was last taken from it, or when it began to wait; in ms. */
  since: number;
}

export class Backlogs {
  readonly #ops: ProfiledOps;
  readonly #base: Queue = { lines: new LineQueue(), since: 0 };
  readonly #special = new Map<Profile, Queue>();

  constructor(ops: ProfiledOps) {
    this.#ops = ops;
  }

  get size(): number {
    let size = this.#base.lines.size;
    if (this.#special.size > 0) {
      for (const { lines } of this.#special.values()) {
        size += lines.size;
      }
    }
    return size;
  }

  sizeOf(profile: Profile): number {
    return this.#queueOf(profile).lines.size;
  }

  /** Profiles with waiting tasks, each with the time since which none was taken, in ms. */
  *waiting(): Iterable<[profile: Profile, since: number]> {
    if (this.#base.lines.size > 0) yield [this.#ops.base, this.#base.since];
    for (const [profile, { lines, since }] of this.#special) {
      if (lines.size > 0) yield [profile, since];
    }
  }

  /** Adds lines at the end. The caller must not use the array afterwards. */
  push(lines: string[]): void {
    this.#sort(lines, (queue, own) => queue.lines.push(own));
  }

  /** Puts lines back that were taken, in front of all others. */
  putBack(lines: readonly string[]): void {
    if (lines.length > 0) this.#sort([...lines], (queue, own) => queue.lines.putBack(own));
  }

  /** Takes the first `count` lines of `profile`. */
  take(profile: Profile, count: number): string[] {
    const queue = this.#queueOf(profile);
    if (this.#ops.hasSpecial) queue.since = awake.now();
    return queue.lines.take(count);
  }

  takeAll(): string[] {
    return this.#queues().flatMap(({ lines }) => lines.take(lines.size));
  }

  /** Takes `count` lines from the ends of the queues, from the longest one first. */
  takeLast(count: number): string[] {
    const taken: string[] = [];
    const queues = this.#queues().sort((a, b) => b.lines.size - a.lines.size);
    for (const { lines } of queues) {
      const missing = Math.min(count - taken.length, lines.size);
      if (missing > 0) taken.push(...lines.takeLast(missing));
    }
    return taken;
  }

  /** Takes the lines for which `test` is true. */
  takeIf(test: (line: string) => boolean): string[] {
    return this.#queues().flatMap(({ lines }) => lines.takeIf(test));
  }

  lines(): string[] {
    return this.#queues().flatMap(({ lines }) => lines.lines());
  }

  #queues(): Queue[] {
    return [this.#base, ...this.#special.values()];
  }

  #sort(lines: string[], put: (queue: Queue, own: string[]) => void): void {
    if (!this.#ops.hasSpecial) return put(this.#base, lines);
    const sorted = new Map<Queue, string[]>();
    for (const line of lines) {
      const queue = this.#queueOf(this.#ops.profileOf(opOf(line)));
      const own = sorted.get(queue);
      if (own) own.push(line);
      else sorted.set(queue, [line]);
    }
    for (const [queue, own] of sorted) {
      if (queue.lines.size === 0) queue.since = awake.now();
      put(queue, own);
    }
  }

  #queueOf(profile: Profile): Queue {
    if (profile === this.#ops.base) return this.#base;
    let queue = this.#special.get(profile);
    if (!queue) this.#special.set(profile, queue = { lines: new LineQueue(), since: 0 });
    return queue;
  }
}

/** The op of a leased task. With one profile for all ops, no line is parsed on this thread. */
function opOf(line: string): string {
  return (JSON.parse(line) as { submit: { op: string } }).submit.op;
}

/** A queue of lines; a line is taken without moving the others. */
class LineQueue {
  #lines: string[] = [];
  #head = 0;

  get size(): number {
    return this.#lines.length - this.#head;
  }

  /** Adds lines at the end. The caller must not use the array afterwards. */
  push(lines: string[]): void {
    if (this.size === 0) return this.#set(lines);
    if (this.#head > this.size) this.#set(this.lines());
    for (const line of lines) this.#lines.push(line);
  }

  putBack(lines: readonly string[]): void {
    if (lines.length > 0) this.#set([...lines, ...this.lines()]);
  }

  take(count: number): string[] {
    const taken = this.#lines.slice(this.#head, this.#head + count);
    this.#head += taken.length;
    if (this.#head === this.#lines.length) this.#set([]);
    return taken;
  }

  takeLast(count: number): string[] {
    return this.#lines.splice(Math.max(this.#head, this.#lines.length - count));
  }

  takeIf(test: (line: string) => boolean): string[] {
    const taken: string[] = [];
    const kept: string[] = [];
    for (const line of this.lines()) (test(line) ? taken : kept).push(line);
    this.#set(kept);
    return taken;
  }

  lines(): string[] {
    return this.#lines.slice(this.#head);
  }

  #set(lines: string[]): void {
    this.#lines = lines;
    this.#head = 0;
  }
}
