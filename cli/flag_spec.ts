/** Flags as a command declares them, and the types that their values then have. */

interface SpecBase {
  /** One line, in lower case, for `--help`. */
  help: string;
  /** One letter: `short: "w"` is `-w`. */
  short?: string;
  /** Not shown in `--help`. */
  hidden?: boolean;
}

interface ValueSpecBase extends SpecBase {
  /** What stands for the value in help: `"HOST:PORT"`. */
  value: string;
  /** The environment variable that gives the value where the flag does not. */
  env?: string;
  /** For help: what the command itself looks at, in this order, where the flag is not given. */
  inherits?: string;
}

export type FlagSpec =
  /** `negatable`: `--no-NAME` sets it to false. */
  | SpecBase & { type: "boolean"; negatable?: boolean }
  | ValueSpecBase & { type: "string"; default?: string; choices?: readonly string[] }
  | ValueSpecBase & { type: "integer"; min: number; max: number; default?: number }
  /** Several values: the flag may be given again, and each may hold more than one, between commas. */
  | ValueSpecBase & { type: "list" }
  /** Alone it is `true`; a value comes behind `=` only, and is a list as above. */
  | ValueSpecBase & { type: "grant" }
  /** In milliseconds once read. */
  | ValueSpecBase & { type: "duration"; min?: number; max?: number; default?: number }
  /** In bytes once read. */
  | ValueSpecBase & { type: "size"; min: number; max: number; default?: number };

export type FlagSpecs = Record<string, FlagSpec>;

type ValueOf<S extends FlagSpec> = S extends { type: "boolean" } ? boolean
  : S extends { choices: readonly (infer Choice)[] } ? Choice
  : S extends { type: "string" } ? string
  : S extends { type: "list" } ? string[]
  : S extends { type: "grant" } ? true | string[]
  : number;

/** What the flags came to: booleans are false by default, others `undefined` without a default. */
export type FlagValues<F extends FlagSpecs> = {
  [Name in keyof F]: F[Name] extends { type: "boolean" } | { default: string | number }
    ? ValueOf<F[Name]>
    : ValueOf<F[Name]> | undefined;
};
