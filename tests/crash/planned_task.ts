/** Tasks to submit, drawn at random: every op and option, and how each must end. */

import type { TaskOptions } from "../../protocol/task.ts";
import type { Random } from "../fuzz/random.ts";
import { type Ending, sha256 } from "./ending.ts";

export interface PlannedTask {
  readonly serial: number;
  readonly op: string;
  readonly args: Readonly<Record<string, unknown>>;
  readonly options: TaskOptions;
  readonly ending: Ending;
}

const KEYS = 6;
/** As text that a careless store would bend. */
const TEXTS = ["plain", "ein Wort mit ß", "日本語", "🙂🙃", "\u0000\u0001", '"}{\\', "%s'; --"];

export class TaskMaker {
  readonly #name: string;
  #serial = 0;

  constructor(name: string) {
    this.#name = name;
  }

  /** `recent` are tasks of the same client, which the new one may come after. */
  make(random: Random, recent: readonly PlannedTask[]): PlannedTask {
    const serial = ++this.#serial;
    const options: TaskOptions = {};
    if (random.chance(0.6)) options.id = `${this.#name}.${serial}`;
    if (random.chance(0.3)) options.wait = false;
    if (random.chance(0.3)) options.priority = random.int(-100, 100);
    if (random.chance(0.15)) options.delay = random.int(1, 1500);
    else if (random.chance(0.03)) options.at = "2020-02-29T23:59:59.5+01:00";
    if (random.chance(0.06)) options.expires = random.int(1, 600);
    if (random.chance(0.2)) Object.assign(options, this.#key(random));
    const parents = recent.filter(({ options }) => options.id !== undefined);
    if (parents.length > 0 && random.chance(0.12)) {
      options.after = [1, 2, 3].slice(0, random.int(1, 3)).map(() =>
        random.pick(parents).options.id!
      );
    }
    return { serial, options, ...this.#work(random, serial, options) };
  }

  /** One of a flood: soon done, with one final line; some with ids, delays, keys, priorities. */
  makeSimple(random: Random): PlannedTask {
    const serial = ++this.#serial;
    const options: TaskOptions = { wait: false };
    if (random.chance(0.5)) options.id = `${this.#name}.${serial}`;
    if (random.chance(0.2)) options.delay = random.int(1, 3000);
    if (random.chance(0.1)) options.priority = random.int(-2, 2);
    if (random.chance(0.1)) options.key = `flood ${random.int(1, 20)}`;
    // A result of its own: by that the oracle knows a task whose acknowledgement never came.
    return {
      serial,
      op: "square",
      args: { n: serial },
      options,
      ending: { is: "completes", result: serial * serial },
    };
  }

  /** A key has one limit, or none. */
  #key(random: Random): TaskOptions {
    const key = random.int(0, KEYS - 1);
    return { key: `key ${key}`, ...(key < 4 ? { limit: 1 + key % 2 } : {}) };
  }

  #work(
    random: Random,
    serial: number,
    options: TaskOptions,
  ): Pick<PlannedTask, "op" | "args" | "ending"> {
    const mark = `${this.#name}-mark-${serial}-`;
    const kind = random.next();
    if (kind < 0.3) return square(random, serial);
    if (kind < 0.55) {
      const length = random.chance(0.05) ? random.int(1000, 60_000) : random.int(0, 100);
      const data = { mark, text: random.pick(TEXTS), more: "x".repeat(length) };
      return { op: "echo", args: { data }, ending: { is: "completes", result: data } };
    }
    if (kind < 0.7) {
      const rounds = random.int(1, 300);
      const result = sha256(mark, rounds);
      return { op: "hash", args: { data: mark, rounds }, ending: { is: "completes", result } };
    }
    if (kind < 0.82) {
      // A fraction of its own, which a double holds exactly.
      const ms = random.int(0, 12) + serial / 2 ** 24;
      return { op: "sleep", args: { ms }, ending: { is: "completes", result: ms } };
    }
    options.attempts = random.int(1, 3);
    options.backoff = random.int(0, 120);
    if (kind < 0.985) return { op: "square", args: { n: mark }, ending: { is: "fails", mark } };
    options.timeout = random.int(20, 50);
    return { op: "sleep", args: { ms: 60_000 + serial }, ending: { is: "times_out" } };
  }
}

function square(random: Random, serial: number): Pick<PlannedTask, "op" | "args" | "ending"> {
  if (random.chance(0.7)) {
    return {
      op: "square",
      args: { n: serial },
      ending: { is: "completes", result: serial * serial },
    };
  }
  const n = 10n ** BigInt(random.int(12, 40)) + BigInt(serial);
  const ending = { is: "completes", result: String(n * n) } as const;
  return { op: "square", args: { n: String(n) }, ending };
}
