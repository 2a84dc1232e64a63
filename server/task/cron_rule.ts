/**
 * When a recurring task is due: its expression in its time zone, and what becomes of the times that
 * were missed. Pure: every time is handed in, as ms since 1970. Called by the scheduler and the API.
 */

import { Cron } from "croner";
import { quote, SdError } from "../../protocol/errors.ts";
import { MAX_CATCH_UP, MAX_CRON_CHARS } from "../../protocol/limits.ts";
import type { JsonObject } from "../../protocol/message.ts";
import { CATCH_UPS, type CatchUp } from "../../protocol/task.ts";

/** The times that need a task, oldest first. */
interface Due {
  readonly times: number[];
  /** Some time was missed: whatever became of it by the policy. */
  readonly missed: boolean;
}

/** A span of times: after `after`, up to `until`. */
interface Span {
  readonly after: number;
  readonly until: number;
  /** Earlier times of the span count as missed. */
  readonly missedBefore: number;
}

const SECOND_MS = 1000;
/** Five fields, six with seconds first, or a nickname. More than the library's own check of them. */
const SHAPE = /^\s*(@[a-z]+|\S+(\s+\S+){4,5})\s*$/i;
const MAX_TZ_CHARS = 64;

export class CronRule {
  readonly #cron: Cron;
  /** The last answer of `nextAfter`, and the earliest moment that it is right for. */
  #known: { readonly from: number; readonly next: number } | undefined;

  /** Of an expression and a zone that `readCronRule` let through; throws what the library says of others. */
  constructor(
    readonly expression: string,
    readonly tz: string,
    readonly catchUp: CatchUp,
  ) {
    this.#cron = new Cron(expression, {
      timezone: tz,
      paused: true,
      mode: "5-or-6-parts",
      domAndDow: hasOpenDay(expression),
      // As cron itself: `0,30 2 * * *` names times of the day, and one that comes twice runs once.
      fixedTimeRule: "no-wildcard",
    });
  }

  /** The first time after `ms`; `undefined` if there is none. */
  nextAfter(ms: number): number | undefined {
    const known = this.#known;
    // Some expressions cost the library 20 ms, and every listing asks again.
    if (known && ms >= known.from && ms < known.next) return known.next;
    // Every time is a whole second: none lies between `ms` and the second that it is in.
    const from = wholeSecond(ms);
    const next = this.#cron.nextRun(new Date(from))?.getTime();
    if (next !== undefined) this.#known = { from, next };
    return next;
  }

  /** What is due in `span`. Never more than `MAX_CATCH_UP` times: then the latest of them. */
  due({ after, until, missedBefore }: Span): Due {
    const first = this.nextAfter(after);
    if (first === undefined || first > until) return { times: [], missed: false };
    const missed = first < missedBefore;
    if (missed && this.catchUp === "once") return { times: this.#latest(1, after, until), missed };
    const from = this.catchUp === "skip" ? Math.max(after, missedBefore - 1) : after;
    return { times: this.#latest(MAX_CATCH_UP, from, until), missed };
  }

  /** The last `count` times after `after` and up to `until`, oldest first. */
  #latest(count: number, after: number, until: number): number[] {
    const times: number[] = [];
    let before = wholeSecond(until) + SECOND_MS;
    while (times.length < count) {
      const time = this.#cron.previousRuns(1, new Date(before))[0]?.getTime();
      if (time === undefined || time <= after) break;
      times.push(time);
      before = time;
    }
    return times.reverse();
  }
}

/** The rule that the options of a submitted line give. Throws `bad_request`. */
export function readCronRule({ cron, tz = "UTC", catch_up = "once" }: JsonObject): CronRule {
  if (!CATCH_UPS.includes(catch_up as CatchUp)) {
    throw new SdError(
      "bad_request",
      `task.catch_up is one of ${CATCH_UPS.join(", ")}; this is ${quote(catch_up)}`,
    );
  }
  if (!isTimeZone(tz)) {
    throw new SdError(
      "bad_request",
      `task.tz is the IANA name of a time zone, like "Europe/Rome" or "UTC"; this is ${quote(tz)}`,
    );
  }
  if (typeof cron !== "string" || cron.length > MAX_CRON_CHARS || !SHAPE.test(cron)) {
    throw badExpression(cron, `at most ${MAX_CRON_CHARS} characters`);
  }
  try {
    return new CronRule(cron, tz, catch_up as CatchUp);
  } catch (error) {
    throw badExpression(cron, reasonOf(error), error);
  }
}

/**
 * Whether the day of the month or the weekday begins with `*`. As in crontab(5), a day must then fit both:
 * an odd day that is a Monday is not the same as any odd day, and any Monday.
 */
function hasOpenDay(expression: string): boolean {
  const fields = expression.trim().split(/\s+/);
  return [fields.at(-3), fields.at(-1)].some((field) => /^[*?]/.test(field ?? ""));
}

function isTimeZone(tz: unknown): tz is string {
  // The runtime knows offsets as well, like "+02:00"; no summer time goes with those.
  if (typeof tz !== "string" || tz.length > MAX_TZ_CHARS || !/^[A-Za-z]/.test(tz)) return false;
  try {
    new Intl.DateTimeFormat("en", { timeZone: tz });
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

function badExpression(cron: unknown, reason: string, cause?: unknown): SdError {
  return new SdError(
    "bad_request",
    `task.cron is five fields, minute hour day month weekday, like "*/5 * * * *" or "0 2 * * MON-FRI", ` +
      `six with seconds first, or like "@daily"; this is ${quote(cron)} (${reason})`,
    { cause },
  );
}

/** The message of the library, without the name of its class and the text that is quoted already. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/^\w+: /, "").replace(/ \('.*?'\)/, "").replace(/\.$/, "");
}

function wholeSecond(ms: number): number {
  return Math.floor(ms / SECOND_MS) * SECOND_MS;
}
