/**
 * What the types of task files say of ops: the names that may be submitted, what each takes, what comes
 * back. Types only; nothing of a task file is loaded by its client.
 *
 *     export function square({ n }: { n: number }) { … }        square: { n: number } → number
 *     export async function at({ day }: { day: string }, ctx)   at: { day: string } → string,
 *       { … return new Date(); }                                    as JSON brings a Date back
 *     export const LIMIT = 3;                                   no op
 */

import type { AsJson } from "./as_json.ts";
import type { CallOptions } from "../connection/call_options.ts";

/** The ops that every server has. */
export interface BuiltinTasks {
  /** Exact for integers: a result beyond ±(2^53−1) is a decimal string. */
  square(args: { n: number | string }): number | string;
  /** `data`; without it, of a task that came `after` others, their results by their ids. */
  echo(args: { data?: unknown }): unknown;
  /** `ms`, so many milliseconds later. */
  sleep(args: { ms: number }): number;
  /** SHA-256 in hex, `rounds` (1) times over. */
  hash(args: { data: string; rounds?: number }): string;
}

/** Where no task file is named: any op, of whose arguments and result nothing is known. */
export type AnyTasks = Record<string, (args: object) => unknown>;

/** Every function is one of these. */
type Handler = (...args: never[]) => unknown;
type IsAny<Tasks> = string extends keyof Tasks ? true : false;
/** The exports that are ops; that of a default export has the name of its function, which no type tells. */
type HandlerName<Tasks> =
  & {
    [Name in keyof Tasks]: Tasks[Name] extends Handler ? Name : never;
  }[keyof Tasks]
  & Exclude<string, "default">;

/** The ops of `Tasks` and the built-in ones. */
export type OpName<Tasks extends object = AnyTasks> = IsAny<Tasks> extends true ? string
  : Exclude<HandlerName<Tasks>, "default"> | keyof BuiltinTasks;

/** A task file may have an op of its own with the name of a built-in one. */
type HandlerOf<Tasks extends object, Op> = IsAny<Tasks> extends true
  ? Op extends keyof BuiltinTasks ? BuiltinTasks[Op] : AnyTasks[string]
  : Op extends keyof Tasks ? Tasks[Op]
  : Op extends keyof BuiltinTasks ? BuiltinTasks[Op]
  : never;

type FirstOf<Parameters> = Parameters extends readonly [] ? Record<string, never>
  : Parameters extends readonly [(infer Args)?, ...unknown[]] ? Args
  : object;

/** The arguments of an op. */
export type ArgsOf<Tasks extends object, Op extends OpName<Tasks>> = HandlerOf<Tasks, Op> extends
  (...parameters: infer Parameters) => unknown
  ? unknown extends FirstOf<Parameters> ? object : NonNullable<FirstOf<Parameters>>
  : never;

/** What the result of an op is once JSON has brought it. */
export type ResultOf<Tasks extends object, Op extends OpName<Tasks>> = HandlerOf<Tasks, Op> extends
  (...parameters: never[]) => infer Result ? AsJson<Awaited<Result>> : never;

/** What a call of an op is given; arguments may be left away where the op needs none. */
export type CallOf<Tasks extends object, Op extends OpName<Tasks>> =
  Pick<ArgsOf<Tasks, Op>, never> extends ArgsOf<Tasks, Op>
    ? [args?: ArgsOf<Tasks, Op>, options?: CallOptions]
    : [args: ArgsOf<Tasks, Op>, options?: CallOptions];

/** Names that are looked for on any object, and so are no calls of ops: `run` reaches such ops. */
type TakenName = keyof typeof Object.prototype | "toJSON" | "then" | "default" | "constructor";

/** `client.square({ n: 7 })` for each op but those whose names are in `Taken`. */
export type OpCalls<Tasks extends object, Taken> = {
  [Op in Exclude<CalledName<Tasks>, Taken | TakenName>]: (
    ...call: CallOf<Tasks, Op & OpName<Tasks>>
  ) => Promise<ResultOf<Tasks, Op & OpName<Tasks>>>;
};

/** Where any name is an op, only those that are known are properties: a typo stays an error. */
type CalledName<Tasks extends object> = IsAny<Tasks> extends true ? keyof BuiltinTasks
  : OpName<Tasks>;
