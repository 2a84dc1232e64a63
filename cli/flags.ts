/**
 * Parses the command line by the flags that a command declares. A key is camelCase in code (`runTimeout`) and
 * kebab-case on the command line (`--run-timeout`). An unknown flag, and a repeated, missing or wrong value, is a
 * `usage` error: nothing is guessed.
 */

import { parseArgs } from "@std/cli/parse-args";
import { quote } from "../protocol/errors.ts";
import { ClientError } from "../net/client_error.ts";
import { type FlagSpec, type FlagSpecs, type FlagValues, readFlagValue } from "./flag_spec.ts";
import { nearest } from "./nearest.ts";

/** Stands for the value of a grant without a list; no argument can contain it. */
const ALL = "\0";

/** The sources of the flags of one run. */
interface FlagSource {
  argv: readonly string[];
  env(name: string): string | undefined;
}

/** `runTimeout` → `run-timeout`. */
export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Reads `source.argv`. A flag overrides the environment, which overrides the default. */
export function parseFlags<const F extends FlagSpecs>(
  specs: F,
  source: FlagSource,
): { flags: FlagValues<F>; args: string[] } {
  const names = Object.keys(specs).map(kebab);
  const parsed = parseArgs(joinValues(specs, source.argv), {
    // All flags are strings and are collected, so that the parser neither converts nor drops a value.
    string: [...names, "_"],
    collect: names,
  });
  const flags: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(specs)) {
    const given = parsed[kebab(name)] as string[];
    flags[name] = valueOf(spec, { name: `--${kebab(name)}`, given, env: source.env });
  }
  return { flags: flags as FlagValues<F>, args: parsed._.map(String) };
}

function valueOf(
  spec: FlagSpec,
  { name, given, env }: { name: string; given: string[]; env: FlagSource["env"] },
): boolean | string | number | string[] | undefined {
  const [text, second] = given;
  if (spec.type === "list") return text === undefined ? undefined : readList(name, given);
  if (spec.type === "grant") {
    if (text === undefined) return undefined;
    return given.includes(ALL) || readList(name, given);
  }
  if (second !== undefined) {
    throw new ClientError(
      "usage",
      `${name} is given more than once: ${given.map(quote).join(", ")}`,
    );
  }
  if (text !== undefined) return readFlagValue(spec, { label: name, text });
  if (spec.type === "boolean") return false;
  const inherited = spec.env === undefined ? undefined : env(spec.env);
  // An empty variable is an unset one, as in `SD_SERVER= sd status`.
  if (inherited) {
    return readFlagValue(spec, { label: `${spec.env} (environment)`, text: inherited });
  }
  return spec.default;
}

function readList(name: string, given: readonly string[]): string[] {
  const values = given.flatMap((text) => text.split(",")).map((value) => value.trim());
  if (!values.includes("")) return values;
  throw new ClientError(
    "usage",
    `${name} has an empty value between its commas: ${given.map(quote).join(", ")}`,
  );
}

/** The meaning of a token of the command line: `--no-color` sets the flag `color` to `false`. */
export interface Token {
  flag: string;
  spec: FlagSpec;
  negated?: true;
}

/** Every token that can be typed as a flag. */
export function tokensOf(specs: FlagSpecs): Map<string, Token> {
  const tokens = new Map<string, Token>();
  for (const [name, spec] of Object.entries(specs)) {
    const flag = kebab(name);
    tokens.set(`--${flag}`, { flag, spec });
    if (spec.short) tokens.set(`-${spec.short}`, { flag, spec });
    if (spec.type === "boolean" && spec.negatable) {
      tokens.set(`--no-${flag}`, { flag, spec, negated: true });
    }
  }
  return tokens;
}

/**
 * Rewrites every flag as one `--name=value`. A value can then begin with `-`, and a boolean never takes the next
 * argument as its value.
 */
function joinValues(specs: FlagSpecs, argv: readonly string[]): string[] {
  const tokens = tokensOf(specs);
  const joined: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const arg = argv[i] ?? "";
    if (arg === "--") return [...joined, ...argv.slice(i)];
    const { head, attached } = splitFlag(arg);
    const token = tokens.get(head);
    if (!token) {
      if (/^-./.test(arg)) throw unknownFlag(specs, head);
      joined.push(arg);
    } else if (token.spec.type === "boolean") {
      if (token.negated && attached !== undefined) {
        readFlagValue(token.spec, { label: head, text: attached });
      }
      joined.push(`--${token.flag}=${token.negated ? "false" : attached ?? "true"}`);
    } else if (token.spec.type === "grant" && attached !== "") {
      // The next argument is never its value: it can be a file.
      joined.push(`--${token.flag}=${attached ?? ALL}`);
    } else {
      const value = attached ?? argv[++i];
      if (
        value === undefined || value === "" || (attached === undefined && isFlag(value, tokens))
      ) {
        throw new ClientError(
          "usage",
          `${head} needs a value: --${token.flag}${
            token.spec.type === "grant" ? "=" : " "
          }${token.spec.value}`,
        );
      }
      joined.push(`--${token.flag}=${value}`);
    }
  }
  return joined;
}

/** Splits `--name=value`, `-wvalue` and `-w=value`. */
export function splitFlag(arg: string): { head: string; attached?: string } {
  if (arg.startsWith("--")) {
    const equals = arg.indexOf("=");
    return equals < 0
      ? { head: arg }
      : { head: arg.slice(0, equals), attached: arg.slice(equals + 1) };
  }
  if (!/^-[A-Za-z]./.test(arg)) return { head: arg };
  return { head: arg.slice(0, 2), attached: arg.slice(arg[2] === "=" ? 3 : 2) };
}

/** Whether the text in the place of a value is the next flag; `-5` and `-` are values. */
function isFlag(text: string, tokens: Map<string, Token>): boolean {
  return text.startsWith("--") || tokens.has(text);
}

function unknownFlag(specs: FlagSpecs, head: string): ClientError {
  const visible = Object.keys(specs).filter((name) => !specs[name]?.hidden);
  const meant = nearest(head.replace(/^-+/, ""), visible.map(kebab));
  return new ClientError("usage", `unknown flag ${head}`, {
    hint: meant
      ? `did you mean --${meant}?`
      : head.startsWith("--")
      ? undefined
      : "an argument that begins with - goes after --",
  });
}
