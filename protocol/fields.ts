/**
 * Readers of the members of a JSON object that comes from outside: each checks one member, and refuses a wrong one as
 * `bad_request` with the right form. The server reads requests, records and descriptions of ops with them.
 */

import { quote, SdError } from "./errors.ts";
import { parseRfc3339 } from "./text_forms.ts";

/** The bounds of an integer, both allowed. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

const RFC_3339_UTC = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** Whether `value` is an integer within `range`. */
export function isIntegerIn(value: unknown, { min, max }: Range): value is number {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}

/** `value` if it is an integer within `range`, `fallback` if it is absent. Throws `bad_request`. */
export function readInteger(
  name: string,
  value: unknown,
  range: Range,
  fallback: number,
): number {
  if (value === undefined) return fallback;
  if (isIntegerIn(value, range)) return value;
  throw wrong(name, `an integer from ${range.min} to ${range.max}`, value);
}

/** `value` if it is a string. Throws `bad_request`. */
export function readText(name: string, value: unknown): string {
  if (typeof value === "string") return value;
  throw wrong(name, "a string", value);
}

/** `value` if it is one of `choices`. Throws `bad_request`. */
export function readOneOf<T extends string>(
  name: string,
  value: unknown,
  choices: readonly T[],
): T {
  if (choices.includes(value as T)) return value as T;
  throw wrong(name, `one of ${choices.join(", ")}`, value);
}

/** A JSON object from outside, which remembers the names of the members that were read. */
export class Fields {
  readonly #object: Readonly<Record<string, unknown>>;
  readonly #known = new Set<string>();

  constructor(object: Readonly<Record<string, unknown>>) {
    this.#object = object;
  }

  /** The member as it is; `undefined` if it is absent. */
  raw(name: string): unknown {
    this.#known.add(name);
    return this.#object[name];
  }

  text(name: string, maxChars: number): string | undefined {
    const value = this.raw(name);
    if (value === undefined || (typeof value === "string" && value.length <= maxChars)) {
      return value;
    }
    throw wrong(name, `a string of at most ${maxChars} characters`, value);
  }

  oneOf<T extends string>(name: string, choices: readonly T[]): T {
    return readOneOf(name, this.raw(name), choices);
  }

  integer(name: string, range: Range, fallback: number): number {
    return readInteger(name, this.raw(name), range, fallback);
  }

  /** Milliseconds since 1970. */
  time(name: string, fallback: number): number {
    const value = this.raw(name);
    if (value === undefined) return fallback;
    const ms = typeof value === "string" && RFC_3339_UTC.test(value) ? parseRfc3339(value) : NaN;
    if (ms > 0) return ms;
    throw wrong(name, 'a time like "2030-01-31T08:00:00.000Z"', value);
  }

  object(name: string): Fields | undefined {
    const value = this.raw(name);
    if (value === undefined) return undefined;
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return new Fields(value as Record<string, unknown>);
    }
    throw wrong(name, "an object", value);
  }

  /** Throws if the object has a member that was not read. */
  checkAll(): void {
    const unknown = Object.keys(this.#object).find((name) => !this.#known.has(name));
    if (unknown === undefined) return;
    throw new SdError("bad_request", `a record has no member ${quote(unknown)}`);
  }
}

/** The refusal of a member: its name, the right form, and the value that came. */
export function wrong(name: string, right: string, value: unknown): SdError {
  return new SdError("bad_request", `${name} is ${right}; this is ${quote(value)}`);
}
