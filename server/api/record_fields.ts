/** Reads the members of a record that comes from outside, one by one, and refuses what is not as it must be. */

import { quote, SdError } from "../../protocol/errors.ts";
import type { JsonObject } from "../../protocol/message.ts";
import { parseRfc3339 } from "../../protocol/text_forms.ts";

const RFC_3339_UTC = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** A record, and the names of those of its members that were read. */
export class RecordFields {
  readonly #record: JsonObject;
  readonly #known = new Set<string>();

  constructor(record: JsonObject) {
    this.#record = record;
  }

  /** The member as it stands; `undefined` where there is none. */
  raw(name: string): unknown {
    this.#known.add(name);
    return this.#record[name];
  }

  text(name: string, maxChars: number): string | undefined {
    const value = this.raw(name);
    if (value === undefined || (typeof value === "string" && value.length <= maxChars)) {
      return value;
    }
    throw wrong(name, `a string of at most ${maxChars} characters`, value);
  }

  oneOf<T extends string>(name: string, choices: readonly T[]): T {
    const value = this.raw(name);
    if (choices.includes(value as T)) return value as T;
    throw wrong(name, `one of ${choices.join(", ")}`, value);
  }

  integer(name: string, range: { min: number; max: number }, fallback: number): number {
    const value = this.raw(name);
    if (value === undefined) return fallback;
    if (Number.isInteger(value)) {
      const integer = value as number;
      if (integer >= range.min && integer <= range.max) return integer;
    }
    throw wrong(name, `an integer from ${range.min} to ${range.max}`, value);
  }

  /** Milliseconds since 1970. */
  time(name: string, fallback: number): number {
    const value = this.raw(name);
    if (value === undefined) return fallback;
    const ms = typeof value === "string" && RFC_3339_UTC.test(value) ? parseRfc3339(value) : NaN;
    if (ms > 0) return ms;
    throw wrong(name, 'a time like "2030-01-31T08:00:00.000Z"', value);
  }

  object(name: string): RecordFields | undefined {
    const value = this.raw(name);
    if (value === undefined) return undefined;
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return new RecordFields(value as JsonObject);
    }
    throw wrong(name, "an object", value);
  }

  /** Throws when the record has a member that nobody has read. */
  checkAll(): void {
    const unknown = Object.keys(this.#record).find((name) => !this.#known.has(name));
    if (unknown === undefined) return;
    throw new SdError("bad_request", `a record has no member ${quote(unknown)}`);
  }
}

export function wrong(name: string, right: string, value: unknown): SdError {
  return new SdError("bad_request", `${name} is ${right}; this is ${quote(value)}`);
}
