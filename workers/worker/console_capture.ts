/**
 * Makes `console` speak for the task that calls it: what would be printed becomes entries of its log. Done
 * before any task code is there; whatever that hands to it, no method throws.
 */

import type { LogLevel } from "../../protocol/task.ts";
import { cutText, logText, shown } from "../bridge/log_text.ts";
import { indexOf, NativeError, newDictionary, now, round, slice, toText } from "../primordials.ts";

export interface PrintTarget {
  print(level: LogLevel, text: string): void;
  /** Another number for another task: groups, counts and timers do not outlive one. */
  readonly run: number;
}

/** Labels of one task; more are not counted. */
const MAX_LABELS = 100;
const MAX_LABEL_CHARS = 200;
const MAX_INDENT = 40;
/** Of a stack: its head, and the calls in here. */
const OWN_STACK_LINES = 3;

/** What the methods remember of one run. */
interface Memory {
  readonly run: number;
  indent: string;
  labels: number;
  /** By label: how often it was counted, and when its timer began. */
  readonly counts: Record<string, number>;
  readonly timers: Record<string, number>;
}

type Say = (level: LogLevel, text: string) => void;
/** Takes the values as an array: to spread them would ask an iterator that a task may have replaced. */
type Method = (values: readonly unknown[]) => void;

/** From now on what the methods of `console` print goes to `target`. */
export function captureConsole(target: PrintTarget): void {
  let memory = newMemory(0);
  const current = () => memory.run === target.run ? memory : memory = newMemory(target.run);
  const say: Say = (level, text) => {
    const { indent } = current();
    target.print(level, indent === "" ? text : cutText(indent + text));
  };
  const methods = { ...printing(say), ...grouping(say, current), ...counting(say, current) };
  const own = console as unknown as Record<string, unknown>;
  for (const [name, method] of Object.entries<Method>(methods)) {
    own[name] = (...values: unknown[]) => {
      try {
        method(values);
      } catch {
        // A value threw when it was turned into text, and there is nothing to say.
      }
    };
  }
}

function printing(say: Say) {
  const at = (level: LogLevel): Method => (values) => say(level, logText(values));
  const show: Method = ([value]) => say("info", cutText(shown(value)));
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
      say("info", cutText(`Trace: ${logText(values)}${linesFrom(toText(stack), OWN_STACK_LINES)}`));
    },
    assert: (values) => {
      if (values[0]) return;
      const more = values.length > 1 ? `: ${logText(values, 1)}` : "";
      say("error", cutText(`Assertion failed${more}`));
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
    say("info", cutText(`${label}: ${round(now() - since)}ms${more}`));
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
