/** Leased-task lines that no worker has yet, those of each profile in the order in which they came. */

import { awake } from "../../net/awake_clock.ts";
import { Backlog } from "./backlog.ts";
import type { Profile } from "./profile.ts";

/** What is asked of the ops. */
export interface ProfiledOps {
  readonly base: Profile;
  /** Whether there is more than one profile. */
  readonly hasSpecial: boolean;
  profileOf(op: string): Profile;
}

interface Queue {
  readonly lines: Backlog;
  /** When something was taken from it last, or it began to wait; in ms. */
  since: number;
}

export class Backlogs {
  readonly #ops: ProfiledOps;
  readonly #base: Queue = { lines: new Backlog(), since: 0 };
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

  /** The profiles that something waits for, and since when nothing of it was taken, in ms. */
  *waiting(): Iterable<[profile: Profile, since: number]> {
    if (this.#base.lines.size > 0) yield [this.#ops.base, this.#base.since];
    for (const [profile, { lines, since }] of this.#special) {
      if (lines.size > 0) yield [profile, since];
    }
  }

  /** Adds to the end. The array is not used by the caller any more. */
  push(lines: string[]): void {
    this.#sort(lines, (queue, own) => queue.lines.push(own));
  }

  /** Puts back what was taken, in front of all others. */
  putBack(lines: readonly string[]): void {
    if (lines.length > 0) this.#sort([...lines], (queue, own) => queue.lines.putBack(own));
  }

  /** Takes the first `count` of `profile`. */
  take(profile: Profile, count: number): string[] {
    const queue = this.#queueOf(profile);
    if (this.#ops.hasSpecial) queue.since = awake.now();
    return queue.lines.take(count);
  }

  takeAll(): string[] {
    return this.#queues().flatMap(({ lines }) => lines.take(lines.size));
  }

  /** Takes `count` from the ends, of the longest first. */
  takeLast(count: number): string[] {
    const taken: string[] = [];
    const queues = this.#queues().sort((a, b) => b.lines.size - a.lines.size);
    for (const { lines } of queues) {
      const missing = Math.min(count - taken.length, lines.size);
      if (missing > 0) taken.push(...lines.takeLast(missing));
    }
    return taken;
  }

  /** Takes those for which `test` holds. */
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
    if (!queue) this.#special.set(profile, queue = { lines: new Backlog(), since: 0 });
    return queue;
  }
}

/** Nothing but the worker reads a line otherwise: where all ops have one profile, nobody needs to know. */
function opOf(line: string): string {
  return (JSON.parse(line) as { submit: { op: string } }).submit.op;
}
