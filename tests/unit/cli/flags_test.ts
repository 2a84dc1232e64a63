/** How a command line is read, and what is refused and in which words. */

import { assertEquals, assertThrows } from "@std/assert";
import { ClientError } from "../../../net/client_error.ts";
import type { FlagSpecs } from "../../../cli/flag_spec.ts";
import { kebab, parseFlags } from "../../../cli/flags.ts";

const SPECS = {
  server: { type: "string", value: "HOST:PORT", help: "", env: "X_SERVER", default: "here" },
  op: { type: "string", value: "OP", help: "", choices: ["square", "echo"] },
  priority: { type: "integer", value: "N", help: "", min: -100, max: 100, short: "p" },
  workers: { type: "integer", value: "N", help: "", min: 1, max: 9, env: "X_WORKERS" },
  runTimeout: { type: "duration", value: "TIME", help: "", min: 1, max: 60_000 },
  share: { type: "size", value: "SIZE", help: "", min: 1024, max: 2 * 1024 ** 3 },
  detach: { type: "boolean", help: "", short: "d" },
  color: { type: "boolean", help: "", negatable: true },
  secretly: { type: "boolean", help: "", hidden: true },
} as const satisfies FlagSpecs;

function parse(argv: string[], env: Record<string, string> = {}) {
  return parseFlags(SPECS, { argv, env: (name) => env[name] });
}

/** The message that `argv` is refused with, and the hint after it. */
function refusal(argv: string[], env: Record<string, string> = {}): string {
  const error = assertThrows(() => parse(argv, env), ClientError);
  assertEquals(error.code, "usage");
  return error.hint === undefined ? error.message : `${error.message}; ${error.hint}`;
}

Deno.test("without any argument, flags have their defaults, and booleans are false", () => {
  assertEquals(parse([]), {
    flags: {
      server: "here",
      op: undefined,
      priority: undefined,
      workers: undefined,
      runTimeout: undefined,
      share: undefined,
      detach: false,
      color: false,
      secretly: false,
    },
    args: [],
  });
});

Deno.test("a flag overrides the environment, which overrides the default", () => {
  assertEquals(parse(["--server", "a"], { X_SERVER: "b" }).flags.server, "a");
  assertEquals(parse([], { X_SERVER: "b" }).flags.server, "b");
  assertEquals(parse([], { X_SERVER: "" }).flags.server, "here");
});

Deno.test("a value can begin with a minus, after a space and after an equals sign", () => {
  for (const argv of [["--priority", "-5"], ["--priority=-5"], ["-p", "-5"], ["-p=-5"], ["-p-5"]]) {
    assertEquals(parse(argv).flags.priority, -5, argv.join(" "));
  }
  assertEquals(parse(["--server", "-"]).flags.server, "-");
});

Deno.test("a boolean never takes the next argument as its value", () => {
  for (const text of ["true", "false", "x"]) {
    const { flags, args } = parse(["--detach", text]);
    assertEquals([flags.detach, args], [true, [text]]);
  }
  assertEquals(parse(["--detach=false"]).flags.detach, false);
  assertEquals(refusal(["--detach=maybe"]), '--detach takes no value; this is "maybe"');
});

Deno.test("arguments stay as typed", () => {
  const typed = ["007", "1e3", "0x10", "", "9007199254740993", "a=b", "-"];
  assertEquals(parse(typed).args, typed);
});

Deno.test("two dashes end the flags", () => {
  const { flags, args } = parse(["-d", "x", "--", "--detach", "--nope", "-5"]);
  assertEquals([flags.detach, args], [true, ["x", "--detach", "--nope", "-5"]]);
});

Deno.test("a camelCase key is a kebab-case flag", () => {
  assertEquals(kebab("runTimeout"), "run-timeout");
  assertEquals(parse(["--run-timeout", "1.5s"]).flags.runTimeout, 1500);
  assertEquals(
    refusal(["--runTimeout", "1s"]),
    "unknown flag --runTimeout; did you mean --run-timeout?",
  );
});

Deno.test("only a negatable boolean can be set to false", () => {
  assertEquals(parse(["--no-color"]).flags.color, false);
  assertEquals(parse(["--color"]).flags.color, true);
  assertEquals(refusal(["--no-detach"]).startsWith("unknown flag --no-detach"), true);
  assertEquals(
    refusal(["--color", "--no-color"]),
    '--color is given more than once: "true", "false"',
  );
});

Deno.test("an unknown flag is refused with the nearest visible flag", () => {
  assertEquals(refusal(["--prioritty", "3"]), "unknown flag --prioritty; did you mean --priority?");
  assertEquals(refusal(["--prioritty=3"]), "unknown flag --prioritty; did you mean --priority?");
  assertEquals(refusal(["--zzzzzz"]), "unknown flag --zzzzzz");
  assertEquals(refusal(["--secretlx"]), "unknown flag --secretlx");
  assertEquals(refusal(["-5"]), "unknown flag -5; an argument that begins with - goes after --");
  for (const name of ["__proto__", "constructor", "toString", "_"]) {
    assertEquals(refusal([`--${name}`]), `unknown flag --${name}`);
  }
});

Deno.test("a repeated flag is refused with both values", () => {
  assertEquals(
    refusal(["--priority", "1", "-p2"]),
    '--priority is given more than once: "1", "2"',
  );
});

Deno.test("a flag without a value is refused, at the end and before another flag", () => {
  for (const rest of [[], ["--detach"], ["-d"], ["--"], ["--nope"], [""]]) {
    assertEquals(refusal(["--priority", ...rest]), "--priority needs a value: --priority N");
  }
  assertEquals(refusal(["--server="]), "--server needs a value: --server HOST:PORT");
});

Deno.test("an integer is refused one past its limits, and so is any other text", () => {
  for (const text of ["-100", "100", "+7", "0"]) {
    assertEquals(parse(["--priority", text]).flags.priority, Number(text));
  }
  for (const text of ["-101", "101", "abc", "1.5", "1e1", "0x1", " ", "NaN"]) {
    assertEquals(
      refusal([`--priority=${text}`]),
      `--priority is an integer from -100 to 100; this is "${text}"`,
    );
  }
});

Deno.test("a duration is refused one past its limits, and so is any other text", () => {
  for (const [text, ms] of [["1ms", 1], ["60s", 60_000], ["1m", 60_000]] as const) {
    assertEquals(parse(["--run-timeout", text]).flags.runTimeout, ms);
  }
  assertEquals(refusal(["--run-timeout=0"]), '--run-timeout is at least 1ms; this is "0"');
  assertEquals(
    refusal(["--run-timeout=60001ms"]),
    '--run-timeout is at most 1m; this is "60001ms"',
  );
  assertEquals(
    refusal(["--run-timeout=5x"]),
    '--run-timeout is not a duration: "5x"; write it like 500ms, 30s, 5m',
  );
  assertEquals(
    refusal(["--run-timeout=5"]),
    '--run-timeout is a duration without a unit: "5"; write it like 5ms or 5s',
  );
});

Deno.test("a size is refused one past its limits, and so is any other text", () => {
  for (
    const [text, bytes] of [
      ["1024", 1024],
      ["1K", 1024],
      ["512M", 512 * 1024 ** 2],
      ["1.5g", 1.5 * 1024 ** 3],
      ["2G", 2 * 1024 ** 3],
    ] as const
  ) {
    assertEquals(parse(["--share", text]).flags.share, bytes);
  }
  assertEquals(refusal(["--share=1023"]), '--share is at least 1K; this is "1023"');
  assertEquals(refusal(["--share=2147483649"]), '--share is at most 2G; this is "2147483649"');
  assertEquals(refusal(["--share=1T"]), '--share is at most 2G; this is "1T"');
  for (const text of ["much", "5MB", "5 M", "M", "1e3", "0x10", ".5G", "NaN"]) {
    assertEquals(
      refusal([`--share=${text}`]),
      `--share is not a size: "${text}"; write it like 512M, 2G, 1.5G`,
    );
  }
});

Deno.test("a choice is refused with the choices and the nearest of them", () => {
  assertEquals(parse(["--op", "echo"]).flags.op, "echo");
  assertEquals(
    refusal(["--op", "squre"]),
    '--op is one of square, echo; this is "squre"; did you mean square?',
  );
});

Deno.test("a wrong value from the environment names the variable", () => {
  assertEquals(
    refusal([], { X_WORKERS: "many" }),
    'X_WORKERS (environment) is an integer from 1 to 9; this is "many"',
  );
});

Deno.test("a bare number of a size flag is in the unit of the flag", () => {
  const MIB = 1024 ** 2;
  const size = { type: "size", value: "SIZE", help: "", min: MIB, max: 1024 * MIB } as const;
  const specs = { bytes: size, mib: { ...size, unitBytes: MIB } };
  const read = (arg: string) => parseFlags(specs, { argv: [arg], env: () => undefined }).flags;
  assertEquals(read("--bytes=2097152").bytes, 2 * MIB);
  for (const text of ["64", "+64", "64M", "0.0625G"]) {
    assertEquals(read(`--mib=${text}`).mib, 64 * MIB, text);
  }
  for (const text of ["0", "-1", "1025", "1.5", "x"]) {
    assertThrows(() => read(`--mib=${text}`), ClientError, "--mib is");
  }
});
