/**
 * Frames to send: whole lines, made from what a decent client would say by putting something wrong in
 * one place. What must be answered is not decided here; `forecast.ts` reads that from the bytes.
 */

import type { Random } from "./random.ts";
import { EDGE_NUMBERS, ODD_NAMES, ODD_VALUES, OPTION_VALUES, UNSAFE_NUMBERS } from "./values.ts";

export interface Frame {
  readonly kind: string;
  /** Whole lines, newline included. */
  readonly bytes: Uint8Array;
}

export const MAX_LINE_BYTES = 1024 * 1024;

/** Members of a message, each as JSON text, in the order in which they are sent. */
type Member = [name: string, json: string];

const encoder = new TextEncoder();
/** Ids that all connections use at the same time. */
const SHARED_IDS = Array.from({ length: 40 }, (_, i) => `shared-${i}`);
const COMMAND_NAMES = [
  "hello",
  "ping",
  "health",
  "get",
  "wait",
  "list",
  "cancel",
  "retry",
  "stats",
  "ops",
];
/** Failed tasks are kept for a day by default: too long for millions of them. */
const SHORT_KEEP: Member = ["task", '{"keep":500}'];
/** Dull work by built-in ops: each spins for a while and takes its worker process with it. */
const SPIN = '"op":"hash","data":"x","rounds":9007199254740991';

/** How many of a thousand frames are of each kind. */
const KINDS: readonly (readonly [string, number, (maker: FrameMaker) => string | Uint8Array])[] = [
  ["decent task", 300, (maker) => maker.line(maker.task())],
  ["decent command", 60, (maker) => maker.line(maker.command())],
  ["odd argument", 120, (maker) => maker.line(maker.oddArgument())],
  ["option", 110, (maker) => maker.line(maker.option())],
  ["odd ref", 30, (maker) => maker.line(maker.oddRef())],
  ["odd name", 50, (maker) => maker.line(maker.oddName())],
  ["odd command", 70, (maker) => maker.line(maker.oddCommand())],
  ["number", 60, (maker) => maker.line(maker.number())],
  ["no message", 20, (maker) => maker.noMessage()],
  ["mutated bytes", 90, (maker) => maker.mutated()],
  ["not UTF-8", 20, (maker) => maker.notUtf8()],
  ["empty lines", 15, (maker) => "\n".repeat(maker.random.int(1, 50)) + maker.crlf()],
  ["shared id", 50, (maker) => maker.sharedId()],
  ["deep", 3, (maker) => maker.deep()],
  ["wide", 1, (maker) => maker.line(maker.wide())],
  ["slow", 4, (maker) => maker.line(maker.slow())],
];
const TOTAL_WEIGHT = KINDS.reduce((sum, [, weight]) => sum + weight, 0);
/** One frame in this many is large, or spins: each costs as much as thousands of others. */
const LARGE_EVERY = 2500;
const SPIN_EVERY = 25_000;

export class FrameMaker {
  readonly random: Random;
  readonly #prefix: string;
  #made = 0;

  /** `prefix` makes the refs of this maker its own. */
  constructor(random: Random, prefix: string) {
    this.random = random;
    this.#prefix = prefix;
  }

  next(): Frame {
    const { random } = this;
    if (random.chance(1 / SPIN_EVERY)) {
      const task = `{"timeout":${random.int(20, 200)},"keep":500}`;
      return frameOf("spin", `{${SPIN},"task":${task},"ref":${this.ref()}}\n`);
    }
    if (random.chance(1 / LARGE_EVERY)) return frameOf("large", this.large());
    let left = random.int(1, TOTAL_WEIGHT);
    const [name, , make] = KINDS.find(([, weight]) => (left -= weight) <= 0)!;
    return frameOf(name, make(this));
  }

  /** A frame that is done at once and that nothing is wrong with. */
  decent(): Frame {
    return frameOf("decent task", this.line(this.task()));
  }

  /** A line over the limit; its tail is a command that must not be read. */
  oversize(): Uint8Array {
    const { random } = this;
    const over = random.pick([1, 2, 3, 64, 65_536, 2 * MAX_LINE_BYTES]);
    const head = `{"op":"echo","ref":${this.ref()},"data":"`;
    const tail = random.chance(0.5) ? '"}' : `\n{"cmd":"ping","ref":"smuggled"}`;
    const room = MAX_LINE_BYTES + over - head.length - (tail.startsWith("\n") ? 0 : tail.length);
    return encoder.encode(head + "x".repeat(room) + tail + "\n");
  }

  ref(): string {
    return `"${this.#prefix}/${++this.#made}"`;
  }

  /** A line of `members` with a ref, unless they have one. */
  line(members: readonly Member[], end = "\n"): string {
    const all = [...members];
    if (!all.some(([name]) => name === "ref")) {
      all.splice(this.random.int(0, all.length), 0, ["ref", this.ref()]);
    }
    const space = this.random.chance(0.1) ? " \t" : "";
    return `{${all.map(([name, json]) => `"${name}":${space}${json}`).join(`,${space}`)}}${end}`;
  }

  crlf(): string {
    return this.line(this.task(), "\r\n");
  }

  task(): Member[] {
    const { random } = this;
    switch (random.int(0, 5)) {
      case 0:
        return [["op", '"echo"'], ["data", random.pick(ODD_VALUES)]];
      case 1:
        return [["data", '{"a":[1,2,{"b":null}]}'], ["op", '"echo"']];
      case 2:
        return [["op", '"hash"'], ["data", '"x"'], ["rounds", String(random.int(1, 20))]];
      case 3:
        return [["op", '"sleep"'], ["ms", String(random.int(0, 2))]];
      default:
        return [["op", '"square"'], ["n", String(random.int(-1e9, 1e9))]];
    }
  }

  command(): Member[] {
    const { random } = this;
    const cmd = random.pick(COMMAND_NAMES);
    if (cmd === "list") {
      // Few: a page of a thousand costs as much as a thousand tasks.
      return [["cmd", '"list"'], ["limit", String(random.int(1, 20))]];
    }
    return [["cmd", `"${cmd}"`], ["task_id", `"${random.pick(SHARED_IDS)}"`]];
  }

  oddArgument(): Member[] {
    const { random } = this;
    const value = random.pick(ODD_VALUES);
    switch (random.int(0, 4)) {
      case 0:
        return [["op", '"square"'], ["n", value], SHORT_KEEP];
      case 1:
        return [["op", '"sleep"'], ["ms", value], SHORT_KEEP];
      case 2:
        return [["op", '"hash"'], ["data", value], SHORT_KEEP];
      case 3: {
        const isLong = Number.isSafeInteger(JSON.parse(value)) && JSON.parse(value) > 1000;
        return [["op", '"hash"'], ["data", '"x"'], ["rounds", isLong ? "null" : value], SHORT_KEEP];
      }
      default:
        return [["op", value], ["n", "1"], SHORT_KEEP];
    }
  }

  option(): Member[] {
    const { random } = this;
    if (random.chance(0.1)) return [...this.task(), ["task", random.pick(ODD_VALUES)]];
    const options = new Map([["keep", "500"]]);
    for (let count = random.int(1, 2); count > 0; count--) {
      const name = random.pick([...OPTION_VALUES.keys()]);
      options.set(name, random.pick(OPTION_VALUES.get(name)!));
    }
    // Arguments of its own for each op, so that an id met again is the same task or is not.
    const arguments_ = random.chance(0.2)
      ? [["op", '"square"'], ["n", "null"]] satisfies Member[]
      : this.task();
    return [...arguments_, [
      "task",
      `{${[...options].map(([name, json]) => `"${name}":${json}`).join(",")}}`,
    ]];
  }

  oddRef(): Member[] {
    const { random } = this;
    const ref = random.pick([
      ...ODD_VALUES,
      ...UNSAFE_NUMBERS,
      `"${"r".repeat(128)}"`,
      `"${"r".repeat(129)}"`,
      `"${"\\u0000".repeat(128)}"`,
      `"${"\\ud83d".repeat(128)}"`,
      `"${"r".repeat(random.int(1000, 50_000))}"`,
      "9007199254740991",
      "1e3",
    ]);
    // No command that answers like a submit: the same ref may come again while both are under way.
    return [...random.pick([this.task(), [["cmd", '"stats"']] as Member[]]), ["ref", ref]];
  }

  oddName(): Member[] {
    const { random } = this;
    const name = random.pick(ODD_NAMES);
    switch (random.int(0, 4)) {
      case 0:
        return [["op", `"${name}"`], ["n", "1"]];
      case 1:
        return [["cmd", `"${name}"`]];
      case 2:
        return [["cmd", '"get"'], ["task_id", `"${name}"`]];
      case 3:
        return [["op", '"echo"'], ["data", `{"${name}":{"${name}":1}}`]];
      default:
        return [[name || "x", random.pick(ODD_VALUES)], ["op", '"echo"'], ["data", '"as is"']];
    }
  }

  oddCommand(): Member[] {
    const { random } = this;
    const value = random.pick(ODD_VALUES);
    switch (random.int(0, 4)) {
      case 0:
        return [["cmd", value]];
      case 1:
        return [["cmd", `"${random.pick(["get", "wait", "cancel", "retry"])}"`], [
          "task_id",
          value,
        ]];
      case 2: {
        const member = random.pick(["status", "limit", "cursor", "op", "key", "since", "order"]);
        return [["cmd", '"list"'], ...(member === "limit" ? [] : [["limit", "3"] as Member]), [
          member,
          value,
        ]];
      }
      case 3: {
        const id = random.pick(["x", "\\u0000", "💥"]).repeat(random.int(1, 3000));
        return [["cmd", `"${random.pick(["get", "wait", "cancel"])}"`], ["task_id", `"${id}"`]];
      }
      default:
        return random.pick<Member[]>([
          [["cmd", '"ping"'], ["op", '"square"']],
          [["op", '"square"'], ["cmd", "null"]],
          [["cmd", '"work"'], ["version", "1"]],
          [["n", "4"]],
          [["cmd", `"${"ping".repeat(random.int(1, 2000))}"`]],
        ]);
    }
  }

  number(): Member[] {
    const { random } = this;
    const value = random.pick(random.chance(0.5) ? UNSAFE_NUMBERS : EDGE_NUMBERS);
    return random.pick<Member[]>([
      [["op", '"square"'], ["n", value], SHORT_KEEP],
      [["op", '"echo"'], ["data", value]],
      [["op", '"echo"'], ["data", `{"a":[1,{"b":${value}}]}`]],
      [["cmd", '"list"'], ["limit", value]],
    ]);
  }

  noMessage(): string {
    const { random } = this;
    return random.pick(ODD_VALUES.filter((value) => !value.startsWith("{"))) +
      random.pick(["\n", " \n", "\r\n"]);
  }

  /** A decent line with some of its bytes changed, dropped, doubled or cut off. */
  mutated(): Uint8Array {
    const { random } = this;
    const members = random.pick<Member[]>([
      [["op", '"square"'], ["n", String(random.int(1, 1e6))], SHORT_KEEP],
      [["op", '"echo"'], ["data", random.pick(ODD_VALUES)], SHORT_KEEP],
      [["cmd", '"ping"']],
      [["op", '"square"'], ["n", "2"], ["n", "3"]],
    ]);
    // A ref of another kind, so that no change of some bytes makes it that of another message.
    members.push(["ref", `"m${random.int(1e8, 1e9)}m${random.int(1e8, 1e9)}m"`]);
    const bytes = [...encoder.encode(this.line(members, ""))];
    for (let changes = random.int(1, 4); changes > 0 && bytes.length > 1; changes--) {
      const at = random.int(0, bytes.length - 1);
      switch (random.int(0, 5)) {
        case 0:
          bytes[at] = random.int(0, 255);
          break;
        case 1:
          bytes[at] = (bytes[at] ?? 0) ^ (1 << random.int(0, 7));
          break;
        case 2:
          bytes.splice(at, random.int(1, 5));
          break;
        case 3:
          bytes.splice(at, 0, ...bytes.slice(at, at + random.int(1, 10)));
          break;
        case 4:
          bytes.splice(
            at,
            0,
            ...encoder.encode(random.pick(['"', "{", "}", "[", "\\", "\n", "\0"])),
          );
          break;
        default:
          bytes.length = at;
      }
    }
    return Uint8Array.from([...bytes, 10]);
  }

  notUtf8(): Uint8Array {
    const { random } = this;
    const bytes = [...encoder.encode(this.line([["op", '"echo"'], ["data", '"text"']], ""))];
    const broken = random.pick([
      [0xff],
      [0xc0, 0xaf],
      [0xed, 0xa0, 0x80],
      [0xf4, 0x90, 0x80, 0x80],
      [0xe2, 0x82],
      [0xef, 0xbb, 0xbf],
    ]);
    bytes.splice(random.int(0, bytes.length), 0, ...broken);
    return Uint8Array.from([...bytes, 10]);
  }

  /** Tasks and commands that meet tasks of other connections, some in the same segment. */
  sharedId(): string {
    const { random } = this;
    let text = "";
    for (let count = random.int(1, 4); count > 0; count--) {
      const id = `"${random.pick(SHARED_IDS)}"`;
      const options = `{"id":${id},"keep":${random.pick([0, 1, 1000])}}`;
      const n = random.pick(["1", "2", "null"]);
      text += this.line(
        random.chance(0.6)
          ? [["op", '"square"'], ["n", n], ["task", options]]
          : [["cmd", `"${random.pick(["get", "wait", "cancel", "retry"])}"`], ["task_id", id]],
      );
    }
    return text;
  }

  deep(): string {
    const { random } = this;
    const depth = random.pick([60, 62, 63, 64, 65, 1000, 20_000]);
    const [open, close] = random.pick<[string, string]>([["[", "]"], ['{"a":', "}"]]);
    const data = `${open.repeat(depth)}1${close.repeat(depth)}`;
    return this.line([["op", '"echo"'], ["data", data]]);
  }

  wide(): Member[] {
    const { random } = this;
    const count = random.pick([1000, 1000, 5000, 40_000]);
    const keys = Array.from({ length: count }, (_, i) => `"${i}k":${i}`).join(",");
    return [["op", '"echo"'], ["data", `{${keys}}`], SHORT_KEEP];
  }

  /** Tasks that would not end soon by themselves. */
  slow(): Member[] {
    const { random } = this;
    return random.pick<Member[]>([
      [["op", '"sleep"'], ["ms", "60000"], SHORT_KEEP],
      [["op", '"square"'], ["n", "1"], ["task", '{"delay":315360000000,"keep":500}']],
      [["op", '"square"'], ["n", "null"], ["task", '{"attempts":100,"backoff":5000,"keep":500}']],
      [["op", '"square"'], ["n", "1"], ["task", '{"delay":9000,"expires":10,"keep":500}']],
    ]);
  }

  /** Lines at the limit, results at theirs and past it. */
  large(): string {
    const { random } = this;
    const exact = random.pick([MAX_LINE_BYTES, MAX_LINE_BYTES - 1]);
    const whole = (members: Member[], fill: (chars: number) => string, end = "\n") => {
      const ref: Member = ["ref", this.ref()];
      const empty = this.line([...members, ["data", fill(0)], SHORT_KEEP, ref], "").length;
      return this.line([...members, ["data", fill(exact - empty)], SHORT_KEEP, ref], "")
        .padEnd(exact, " ") + end;
    };
    const text = (chars: number) => `"${"x".repeat(Math.max(0, chars - 20))}"`;
    const numbers = (chars: number) => `[${"1e20,".repeat(Math.max(0, chars / 5 - 10))}1]`;
    const resultOf = (bytes: number) =>
      this.line([["op", '"echo"'], ["data", `"${"é".repeat((bytes - 2) / 2)}"`], SHORT_KEEP]);
    return random.pick<() => string>([
      () => whole([["op", '"echo"']], text),
      () => whole([["op", '"echo"']], text, "\r\n"),
      () => whole([["op", '"hash"']], text),
      () => whole([["op", '"echo"']], numbers),
      () => whole([["cmd", '"ping"']], text),
      () => resultOf(MAX_LINE_BYTES - 2048),
      () => resultOf(MAX_LINE_BYTES - 2048 + 2),
      () => this.line([["op", '"square"'], ["n", `"${"9".repeat(20_000)}"`], SHORT_KEEP]),
      () => this.line([["op", '"square"'], ["n", `"${"9".repeat(100_001)}"`], SHORT_KEEP]),
      () => this.line([["cmd", `"${"x".repeat(900_000)}"`]]),
    ])();
  }
}

function frameOf(kind: string, data: string | Uint8Array): Frame {
  return { kind, bytes: typeof data === "string" ? encoder.encode(data) : data };
}
