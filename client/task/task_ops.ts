/**
 * The ops of a task file, from its types: their names, arguments and results. Types only: a client never loads a task
 * file.
 *
 *     export function square({ n }: { n: number }) { … }        square: { n: number } → number
 *     export async function at({ day }: { day: string }, ctx)   at: { day: string } → string,
 *       { … return new Date(); }                                    as JSON brings a Date back
 *     export const LIMIT = 3;                                   not an op
 */

import type { AsJson } from "./as_json.ts";
import type { CallOptions } from "../connection/call_options.ts";

/** The ops that every server has. */
export interface BuiltinTasks {
  /** The square, exact for integers: a result beyond ±(2^53−1) is a decimal string. */
  square(args: { n: number | string }): number | string;
  /** `data`; without it, the results of the tasks in its `after`, by their ids. */
  echo(args: { data?: unknown }): unknown;
  /** `ms`, after that many milliseconds. */
  sleep(args: { ms: number }): number;
  /** SHA-256 in hex, repeated `rounds` times (1). */
  hash(args: { data: string; rounds?: number }): string;
}

/** The ops of a client without a task file: any name, with unknown arguments and results. */
export type AnyTasks = Record<string, (args: object) => unknown>;

/** The type of any function. */
type Handler = (...args: never[]) => unknown;
type IsAny<Tasks> = string extends keyof Tasks ? true : false;
/** Exports that are ops. A default export is named by its function, which types do not show. */
type HandlerName<Tasks> =
  & {
    [Name in keyof Tasks]: Tasks[Name] extends Handler ? Name : never;
  }[keyof Tasks]
  & Exclude<string, "default">;

/** The names of the ops of `Tasks` and of the built-in ops. */
export type OpName<Tasks extends object = AnyTasks> = IsAny<Tasks> extends true ? string
  : Exclude<HandlerName<Tasks>, "default"> | keyof BuiltinTasks;

/** The handler of an op: one in the task file goes before a built-in op of the same name. */
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

/** The type of an op's result, as JSON brings it back. */
export type ResultOf<Tasks extends object, Op extends OpName<Tasks>> = HandlerOf<Tasks, Op> extends
  (...parameters: never[]) => infer Result ? AsJson<Awaited<Result>> : never;

/** The parameters of a call; arguments can be left out if the op needs none. */
export type CallOf<Tasks extends object, Op extends OpName<Tasks>> =
  Pick<ArgsOf<Tasks, Op>, never> extends ArgsOf<Tasks, Op>
    ? [args?: ArgsOf<Tasks, Op>, options?: CallOptions]
    : [args: ArgsOf<Tasks, Op>, options?: CallOptions];

/** Names that JavaScript looks for on any object: an op with such a name is called with `run`. */
type TakenName = keyof typeof Object.prototype | "toJSON" | "then" | "default" | "constructor";

/** The method for each op, except for names in `Taken`. */
export type OpCalls<Tasks extends object, Taken> = {
  [Op in Exclude<CalledName<Tasks>, Taken | TakenName>]: (
    ...call: CallOf<Tasks, Op & OpName<Tasks>>
  ) => Promise<ResultOf<Tasks, Op & OpName<Tasks>>>;
};

/** Without a task file only the built-in ops are methods, so that a typo is an error. */
type CalledName<Tasks extends object> = IsAny<Tasks> extends true ? keyof BuiltinTasks
  : OpName<Tasks>;
