/**
 * The shape of every subcommand: what it is called, which flags it takes, what it does. `main` of a
 * command reads its flags, answers `--help`, runs it and turns whatever it throws into an exit code.
 */

import { bold } from "@std/fmt/colors";
import { ClientError } from "../net/client_error.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import type { FlagSpecs, FlagValues } from "./flag_spec.ts";
import { parseFlags } from "./flags.ts";
import { type CommandFace, commandHelp, type HelpStyle } from "./help.ts";
import { inLanguage, LANGUAGES, localeLanguage, MESSAGES, speak } from "./messages.ts";
import { reportOf, tellBug, tellError } from "./report.ts";
import { paint, print, stdoutColumns } from "./talk.ts";

export type { FlagSpec, FlagSpecs, FlagValues } from "./flag_spec.ts";

/** Flags of every command; `defineCommand` adds them. */
const COMMON_FLAGS = {
  lang: {
    type: "string",
    value: "LANG",
    choices: LANGUAGES,
    help: "language of its talk",
    inherits: "that of the locale",
  },
  json: { type: "boolean", help: "tell the outcome as one line of JSON, errors too" },
  help: { type: "boolean", short: "h", help: "print this" },
} as const satisfies FlagSpecs;

export interface CommandInput<F extends FlagSpecs> {
  flags: FlagValues<F> & { json: boolean };
  /** The arguments that are no flags, exactly as typed. */
  args: string[];
}

export interface CommandSpec<F extends FlagSpecs> extends CommandFace {
  flags: F;
  /** Fewest and most arguments; default 0, and no more than `minArgs`. */
  minArgs?: number;
  maxArgs?: number;
  /** Does it and returns the exit code. An `SdError` or `ClientError` is told and has its own. */
  run(input: CommandInput<F>): Promise<number>;
  /** Tells what ended it, also an error in its flags, in a way of its own; `undefined`: it is told as ever. */
  fail?(error: unknown, argv: readonly string[]): ExitCode | undefined;
}

export interface Command extends CommandFace {
  readonly minArgs?: number;
  readonly maxArgs?: number;
  /** Reads `argv` (without the command's name), runs the command, returns its exit code. Never throws. */
  main(argv: readonly string[]): Promise<number>;
}

/** A command that is loaded only when it is wanted. */
export interface CommandEntry {
  /** That of the command, told here so that the overview loads none; a test holds the two equal. */
  readonly summary: string;
  load(): Promise<Command>;
}

export function defineCommand<const F extends FlagSpecs>(spec: CommandSpec<F>): Command {
  const flags = { ...spec.flags, ...COMMON_FLAGS };
  return {
    ...spec,
    flags,
    async main(argv) {
      // Asked for before the flags are read, so that a wrong one beside it is no obstacle.
      const json = asks(argv, "--json");
      const env = (name: string) => Deno.env.get(name);
      // What programs read is the same for everybody.
      speak(json ? "en" : localeLanguage(env));
      try {
        if (asks(argv, "--help") || asks(argv, "-h")) {
          print(commandHelp({ ...spec, flags }, helpStyle()));
          return EXIT.ok;
        }
        const input = parseFlags(flags, { argv, env });
        if (input.flags.lang && !json) speak(input.flags.lang);
        checkArgs(spec, input.args);
        return await spec.run(input as unknown as CommandInput<F>);
      } catch (error) {
        return spec.fail?.(error, argv) ?? tell(error, { json, name: spec.name });
      }
    },
  };
}

/** Of this terminal, or of none. */
export function helpStyle(): HelpStyle {
  return { heading: (text) => paint("stdout", bold, text), columns: stdoutColumns() };
}

function tell(error: unknown, { json, name }: { json: boolean; name: string }): number {
  const report = reportOf(error);
  if (!report) return tellBug(error, { json });
  if (report.code === "interrupted" && !json) return EXIT.interrupted;
  if (report.code === "usage") report.hint ??= inLanguage(MESSAGES).seeHelp(name);
  return tellError(report, { json });
}

function asks(argv: readonly string[], flag: string): boolean {
  const end = argv.indexOf("--");
  return (end < 0 ? argv : argv.slice(0, end)).includes(flag);
}

/** Throws `usage` for too few or too many of them. */
export function checkArgs(
  { name, positional, minArgs = 0, maxArgs = minArgs }: Omit<Command, "main">,
  args: readonly string[],
): void {
  const usage = `the usage is: sd ${name}${positional ? ` ${positional}` : ""}`;
  if (args.length < minArgs) throw new ClientError("usage", `an argument is missing; ${usage}`);
  const extra = args[maxArgs];
  if (extra !== undefined) {
    throw new ClientError("usage", `unexpected argument ${JSON.stringify(extra)}; ${usage}`);
  }
}
