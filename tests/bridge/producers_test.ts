/** The example producers send tasks through RabbitMQ and print their results. */

import { assertEquals } from "@std/assert";
import { needing } from "../kit/needs.ts";
import { OwnVhost, withRabbit } from "../kit/services.ts";
import { TestServer } from "../kit/test_server.ts";

const FOLDER = new URL("../../examples/producers/", import.meta.url).pathname;
const PYTHON = await pythonWithPika();
const withPika = needing("Python with pika", PYTHON !== undefined);

/** A Python that has pika: the system's own may, when another comes first in the path. */
async function pythonWithPika(): Promise<string | undefined> {
  for (const python of ["python3", "/usr/bin/python3"]) {
    try {
      const args = ["-c", "import pika"];
      const options = { args, stdout: "null", stderr: "null" } as const;
      if ((await new Deno.Command(python, options).output()).success) return python;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return undefined;
}

async function resultsOf(command: readonly string[]): Promise<string[]> {
  await using vhost = await OwnVhost.make();
  await using _server = await TestServer.start({ intakes: [`${vhost.url}?queue=sd.tasks`] });
  const [path = "", ...args] = command;
  const { stdout, stderr, success } = await new Deno.Command(path, {
    args: [...args, "50", vhost.url, "sd.tasks"],
  }).output();
  const [said = "", complaint] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assertEquals([success, complaint], [true, ""]);
  return said.trim().split("\n").sort();
}

const EXPECTED = Array.from({ length: 50 }, (_, n) => `${n} -> ${n * n}`).sort();

const inPython = withPika("a producer in Python sends tasks and prints their results");
const inPythonByRabbit = withRabbit(inPython.name);
Deno.test({ ...inPythonByRabbit, ignore: inPython.ignore || inPythonByRabbit.ignore }, async () => {
  if (PYTHON === undefined) throw new Error("it needs Python with pika");
  assertEquals(await resultsOf([PYTHON, `${FOLDER}producer.py`]), EXPECTED);
});

Deno.test(withRabbit("a producer in Node sends tasks and prints their results"), async () => {
  // By Deno, which finds the library without an install.
  const deno = [Deno.execPath(), "run", "--quiet", "--allow-net", "--allow-env", "--allow-read"];
  assertEquals(await resultsOf([...deno, "--allow-sys", `${FOLDER}producer.mjs`]), EXPECTED);
});
