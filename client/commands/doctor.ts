/** `sd doctor`: looks at the executable, the server and this machine, and says what to do about each. */

import { green, red, yellow } from "@std/fmt/colors";
import { defineCommand } from "../../cli/command.ts";
import { EXIT, type ExitCode } from "../../cli/exit.ts";
import { printData, tellError } from "../../cli/report.ts";
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
  summary: "check what sd needs here, and say how to mend what is wrong",
  flags: CLIENT_FLAGS,
  examples: [
    ["sd doctor", "the server on this machine, or the one in use; see sd context"],
    ["sd doctor --context prod --json", "for programs: data.checks, each with a verdict"],
  ],
  notes: [
    "What sd serve needs is looked at where the server is on this machine. Nothing is changed.",
    "Exit: 0 nothing is a problem (warnings are none); else that of the first problem: 2 a setting or " +
    "the state directory, 3 the server cannot be reached, 4 token, 7 another wire, or no room on the disk.",
  ],
  async run({ flags }) {
    const { checks: serverChecks, isHere } = await checkServer(flags);
    const machineChecks = isHere ? await checkMachine() : [];
    return tell([checkExecutable(), ...serverChecks, ...machineChecks], flags);
  },
});

function tell(checks: readonly Check[], { json }: { json: boolean }): ExitCode {
  const data = { checks: checks.map(({ code: _code, ...view }) => view) };
  if (!json) { for (const check of checks) print(textOf(check)); }
  const problems = checks.filter(({ verdict }) => verdict === "problem");
  const [first] = problems;
  if (!first) {
    if (json) printData(data);
    return EXIT.ok;
  }
  const { code = "internal", message, cure } = first;
  if (json) return tellError({ code, message, ...(cure && { hint: cure }) }, { json, data });
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  return tellError({ code, message: count, ...(cure && { hint: cure }) }, { json });
}

function textOf({ name, verdict, message, cure }: Check): string {
  const label = paint("stdout", STYLES[verdict], verdict.padEnd(VERDICT_COLUMNS));
  const line = `${label}  ${name.padEnd(NAME_COLUMNS)}  ${escapeControls(message)}`;
  if (cure === undefined) return line;
  const indent = " ".repeat(VERDICT_COLUMNS + NAME_COLUMNS + 4);
  return `${line}\n${indent}→ ${escapeControls(cure)}`;
}
