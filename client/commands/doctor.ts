/** `sd doctor`: checks the executable, the server and this machine, and prints a cure for each fault. */

import { green, red, yellow } from "@std/fmt/colors";
import { defineCommand } from "../../cli/command.ts";
import { EXIT, type ExitCode } from "../../cli/exit.ts";
import { printData, reportError } from "../../cli/report.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { escapeControls, paint, print } from "../../cli/talk.ts";
import {
  type Check,
  checkExecutable,
  checkMachine,
  type Verdict,
} from "./doctor/doctor_machine.ts";
import { checkServer } from "./doctor/doctor_server.ts";

const STYLES: Record<Verdict, (text: string) => string> = {
  ok: green,
  warning: yellow,
  problem: red,
};
const VERDICT_COLUMNS = "problem".length;
const NAME_COLUMNS = "workers".length;

export const doctor = defineCommand({
  name: "doctor",
  summary: "check sd, the server and this machine, and print cures",
  flags: CLIENT_FLAGS,
  examples: [
    ["sd doctor", "for the server in use; see sd context"],
    ["sd doctor --context prod --json", "for programs: data.checks, each with a verdict"],
  ],
  notes: [
    "For a server on this machine the needs of sd serve are checked as well. Nothing is changed.",
    "Exit: 0 no problem (a warning is not a problem); otherwise the code of the first problem: 2 a setting or " +
    "the state directory, 3 no connection, 4 the token, 7 another protocol version or a full disk.",
  ],
  async run({ flags }) {
    const { checks: serverChecks, isHere } = await checkServer(flags);
    const machineChecks = isHere ? await checkMachine() : [];
    return report([checkExecutable(), ...serverChecks, ...machineChecks], flags);
  },
});

function report(checks: readonly Check[], { json }: { json: boolean }): ExitCode {
  const data = { checks: checks.map(({ code: _code, ...view }) => view) };
  if (!json) { for (const check of checks) print(textOf(check)); }
  const problems = checks.filter(({ verdict }) => verdict === "problem");
  const [first] = problems;
  if (!first) {
    if (json) printData(data);
    return EXIT.ok;
  }
  const { code = "internal", message, cure } = first;
  if (json) return reportError({ code, message, ...(cure && { hint: cure }) }, { json, data });
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  return reportError({ code, message: count, ...(cure && { hint: cure }) }, { json });
}

function textOf({ name, verdict, message, cure }: Check): string {
  const label = paint("stdout", STYLES[verdict], verdict.padEnd(VERDICT_COLUMNS));
  const line = `${label}  ${name.padEnd(NAME_COLUMNS)}  ${escapeControls(message)}`;
  if (cure === undefined) return line;
  const indent = " ".repeat(VERDICT_COLUMNS + NAME_COLUMNS + 4);
  return `${line}\n${indent}→ ${escapeControls(cure)}`;
}
