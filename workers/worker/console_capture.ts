/**
 * Turns calls of `console` into entries of the log of the task that calls it. Output outside a task, for example at a
 * file's top level, goes to the parent of the process, within limits. `serveTasks` sets this up before any task code
 * loads. No method throws, whatever task code passes to it.
 */

import type { LogLevel } from "../../protocol/task.ts";
import { clipText, logText, shown } from "../bridge/log_text.ts";
import {
  indexOf,
  min,
  NativeError,
  newDictionary,
  now,
  round,
  slice,
  toText,
} from "../primordials.ts";

interface PrintTarget {
  print(level: LogLevel, text: string): void;
  /** A number that differs from task to task: groups, counts and timers end with their task. */
  readonly run: number;
}

/** Most labels of one task; further ones are ignored. */
const MAX_LABELS = 100;
const MAX_LABEL_CHARS = 200;
const MAX_INDENT = 40;
/** Lines of a stack that are left out: its head, and the calls in this file. */
const OWN_STACK_LINES = 3;
/** Most characters of a text that no task printed. */
const MAX_STRAY_CHARS = 1000;
/** Most texts outside a task that a worker prints at once, */
const STRAY_BURST = 20;
/** and texts for each ms after that. */
const STRAYS_PER_MS = 10 / 1000;

/** Receives output: the loop, which knows the running task, or `stray` while there is no loop. */
export class Prints implements PrintTarget {
  loop: PrintTarget | undefined = undefined;
  stray: (text: string) => void = () => {};

  get run(): number {
    return this.loop ? this.loop.run : 0;
  }

  print(level: LogLevel, text: string): void {
    if (this.loop) this.loop.print(level, text);
    else this.stray(text);
  }
}

/** A printer for output outside a task. It passes a limited number of texts to `report`, and how many it left out. */
export function strayPrinter(report: (text: string) => void): (text: string) => void {
  let budget = STRAY_BURST;
  let budgetAt = now();
  let leftOut = 0;
  return (text) => {
    const clock = now();
    budget = min(STRAY_BURST, budget + (clock - budgetAt) * STRAYS_PER_MS);
    budgetAt = clock;
    if (budget < 1) {
      leftOut++;
      return;
    }
    budget--;
    if (leftOut > 0) report(`(${leftOut} more were left out)`);
    leftOut = 0;
    report(clipText(text, MAX_STRAY_CHARS));
  };
}

/** The state of the methods in one run. */
interface Memory {
  readonly run: number;
  indent: string;
  labels: number;
  /** By label: the count, and the start of the timer. */
  readonly counts: Record<string, number>;
  readonly timers: Record<string, number>;
}

type Say = (level: LogLevel, text: string) => void;
/** Takes the values as an array: to spread them would use an iterator that task code can replace. */
type Method = (values: readonly unknown[]) => void;

/** Sends the output of `console` to `target` from now on. */
export function captureConsole(target: PrintTarget): void {
  let memory = newMemory(0);
  const current = () => memory.run === target.run ? memory : memory = newMemory(target.run);
  const say: Say = (level, text) => {
    const { indent } = current();
    target.print(level, indent === "" ? text : clipText(indent + text));
  };
  const methods = { ...printing(say), ...grouping(say, current), ...counting(say, current) };
  const own = console as unknown as Record<string, unknown>;
  for (const [name, method] of Object.entries<Method>(methods)) {
    own[name] = (...values: unknown[]) => {
      try {
        method(values);
      } catch {
        // A value threw when it was turned into text: nothing is printed.
      }
    };
  }
}

function printing(say: Say) {
  const at = (level: LogLevel): Method => (values) => say(level, logText(values));
  const show: Method = ([value]) => say("info", clipText(shown(value)));
  return {
    debug: at("debug"),
    log: at("info"),
    info: at("info"),
    dirxml: at("info"),
    warn: at("warn"),
    error: at("error"),
    dir: show,
    table: show,
    clear: () => {},
    trace: (values) => {
      const { stack } = new NativeError();
      say(
        "info",
        clipText(`Trace: ${logText(values)}${linesFrom(toText(stack), OWN_STACK_LINES)}`),
      );
    },
    assert: (values) => {
      if (values[0]) return;
      const more = values.length > 1 ? `: ${logText(values, 1)}` : "";
      say("error", clipText(`Assertion failed${more}`));
    },
  } satisfies Record<string, Method>;
}

function grouping(say: Say, current: () => Memory) {
  const group: Method = (values) => {
    if (values.length > 0) say("info", logText(values));
    const memory = current();
    if (memory.indent.length < MAX_INDENT) memory.indent += "  ";
  };
  return {
    group,
    groupCollapsed: group,
    groupEnd: () => {
      const memory = current();
      memory.indent = slice(memory.indent, 2);
    },
  } satisfies Record<string, Method>;
}

function counting(say: Say, current: () => Memory) {
  const elapsed = (label: string, more: string) => {
    const since = current().timers[label];
    if (since === undefined) return say("warn", `no timer is called ${label}`);
    say("info", clipText(`${label}: ${round(now() - since)}ms${more}`));
  };
  return {
    count: (values) => {
      const label = labelOf(values);
      const { counts } = current();
      if (counts[label] === undefined && !hasRoom(current())) return;
      counts[label] = (counts[label] ?? 0) + 1;
      say("info", `${label}: ${counts[label]}`);
    },
    countReset: (values) => {
      const label = labelOf(values);
      const { counts } = current();
      if (counts[label] === undefined) return say("warn", `no count is called ${label}`);
      counts[label] = 0;
    },
    time: (values) => {
      const label = labelOf(values);
      const { timers } = current();
      if (timers[label] !== undefined) return say("warn", `a timer is called ${label} already`);
      if (hasRoom(current())) timers[label] = now();
    },
    timeLog: (values) => {
      elapsed(labelOf(values), values.length > 1 ? ` ${logText(values, 1)}` : "");
    },
    timeEnd: (values) => {
      const label = labelOf(values);
      elapsed(label, "");
      delete current().timers[label];
    },
  } satisfies Record<string, Method>;
}

function newMemory(run: number): Memory {
  return { run, indent: "", labels: 0, counts: newDictionary(), timers: newDictionary() };
}

function hasRoom(memory: Memory): boolean {
  return memory.labels++ < MAX_LABELS;
}

function labelOf(values: readonly unknown[]): string {
  const name = values[0];
  return name === undefined ? "default" : slice(toText(name), 0, MAX_LABEL_CHARS);
}

/** The lines of `text` from number `first` on, counted from 0, each after a newline. */
function linesFrom(text: string, first: number): string {
  let at = -1;
  for (let line = 0; line < first; line++) {
    at = indexOf(text, "\n", at + 1);
    if (at < 0) return "";
  }
  return slice(text, at);
}
