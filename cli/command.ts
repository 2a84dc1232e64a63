/**
 * The shape of every subcommand: its name, its flags, its action. `main` of a command reads the flags, handles
 * `--help`, runs the action and turns every error into an exit code.
 */

import { bold } from "@std/fmt/colors";
import { ClientError } from "../net/client_error.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import type { FlagSpecs, FlagValues } from "./flag_spec.ts";
import { parseFlags } from "./flags.ts";
import { type CommandFace, commandHelp, type HelpStyle } from "./help.ts";
import { CLI_MESSAGES, inLanguage, LANGUAGES, localeLanguage, speak } from "./messages.ts";
import { reportBug, reportError, reportOf } from "./report.ts";
import { paint, print, stdoutColumns } from "./talk.ts";

export type { FlagSpec, FlagSpecs, FlagValues } from "./flag_spec.ts";

/** Flags of every command; `defineCommand` adds them. */
const COMMON_FLAGS = {
  lang: {
    type: "string",
    value: "LANG",
    choices: LANGUAGES,
    help: "language of messages",
    inherits: "the locale",
  },
  json: { type: "boolean", help: "print the outcome, or the error, as one line of JSON" },
  help: { type: "boolean", short: "h", help: "print this help" },
} as const satisfies FlagSpecs;

interface CommandInput<F extends FlagSpecs> {
  flags: FlagValues<F> & { json: boolean };
  /** The arguments that are not flags, exactly as typed. */
  args: string[];
}

interface CommandSpec<F extends FlagSpecs> extends CommandFace {
  flags: F;
  /** Least and greatest number of arguments; default 0, and `minArgs`. */
  minArgs?: number;
  maxArgs?: number;
  /** Runs the command and returns its exit code. A thrown `SdError` or `ClientError` is reported, with the exit code of its error code. */
  run(input: CommandInput<F>): Promise<number>;
  /** Reports an error of `run` or of the flags in a form of its own; returns `undefined` for the usual form. */
  fail?(error: unknown, argv: readonly string[]): ExitCode | undefined;
}

export interface Command extends CommandFace {
  readonly minArgs?: number;
  readonly maxArgs?: number;
  /** Reads `argv` (without the command's name), runs the command, returns its exit code. Never throws. */
  main(argv: readonly string[]): Promise<number>;
}

/** A command that is loaded on its first use. */
export interface CommandEntry {
  /** The summary of the command, repeated so that the overview loads no command; a test holds the two equal. */
  readonly summary: string;
  load(): Promise<Command>;
}

export function defineCommand<const F extends FlagSpecs>(spec: CommandSpec<F>): Command {
  const flags = { ...spec.flags, ...COMMON_FLAGS };
  return {
    ...spec,
    flags,
    async main(argv) {
      // Before the flags are parsed, so that a wrong flag does not keep `--help` from working.
      const json = asks(argv, "--json");
      const env = (name: string) => Deno.env.get(name);
      // Output for programs is the same in every language.
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
        return spec.fail?.(error, argv) ?? report(error, { json, name: spec.name });
      }
    },
  };
}

/** The style of this terminal; plain text in a pipe. */
export function helpStyle(): HelpStyle {
  return { heading: (text) => paint("stdout", bold, text), columns: stdoutColumns() };
}

function report(error: unknown, { json, name }: { json: boolean; name: string }): number {
  const report = reportOf(error);
  if (!report) return reportBug(error, { json });
  if (report.code === "interrupted" && !json) return EXIT.interrupted;
  if (report.code === "usage") report.hint ??= inLanguage(CLI_MESSAGES).seeHelp(name);
  return reportError(report, { json });
}

function asks(argv: readonly string[], flag: string): boolean {
  const end = argv.indexOf("--");
  return (end < 0 ? argv : argv.slice(0, end)).includes(flag);
}

/** Throws `usage` for too few or too many arguments. */
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
