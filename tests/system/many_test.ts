/** `sd submit` with many lines against a real server: the end of each line, and the output. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { delay } from "@std/async/delay";
import { connect } from "../../client/mod.ts";
import { ManyStage, squares } from "../kit/many_stage.ts";
import { runSd } from "../kit/sd_process.ts";
import { TestServer } from "../kit/test_server.ts";

async function statsOf({ address }: TestServer) {
  await using client = await connect(address);
  return await client.stats();
}

Deno.test("every line has one result with its number: tasks, text and invalid lines", async () => {
  await using server = await TestServer.start();
  const lines = [
    "\ufeff" + '{"op":"square","n":7}\r',
    "",
    '{"op":"square"',
    '{"op":"nop"}',
    "hello",
    `"${"x".repeat(1024 * 1024)}"`,
    '{"op":"square","n":"x"}',
    '{"op":"square","n":8,"task":{"id":"mine"}}',
  ];
  await using stage = await ManyStage.open(server.address, { lines });
  const { code, stderr } = await stage.submit();
  assertEquals(code, 1, stderr);
  const told = stage.told().sort((a, b) => a.line - b.line);
  assertEquals(
    told.map(({ line, status, result, error }) => [line, status, result ?? error.code]),
    [
      [1, "completed", 49],
      [3, undefined, "usage"],
      [4, undefined, "unknown_op"],
      [5, "completed", "hello"],
      [6, undefined, "usage"],
      [7, "failed", "task_error"],
      [8, "completed", 64],
    ],
  );
  assertEquals(told.at(-1)?.task_id, "mine");
  assertStringIncludes(told[4].error.message, "longer than 1048576 bytes");
  assertStringIncludes(stderr, "7 tasks: 3 completed, 1 failed, 3 refused");
  assertEquals(stage.hasJournal(), false);
});

Deno.test("rows of CSV are the arguments of an op, and an ordered run prints results in order", async () => {
  await using server = await TestServer.start();
  const lines = [
    "op,n,data",
    "square,3,",
    'echo,,"a ""b""',
    'c"',
    "echo,,007",
    "square,4",
    "square,5,",
  ];
  await using stage = await ManyStage.open(server.address, { name: "tasks.csv", lines });
  const planned = await stage.submit("--dry-run", "--json");
  assertEquals(planned.code, 2);
  assertEquals(stage.told()[0].data, { tasks: 4, ops: { square: 2, echo: 2 }, bad: 1 });
  await Deno.truncate(stage.results);
  assertEquals((await stage.submit("--ordered")).code, 1);
  assertEquals(stage.told().map(({ line, result, error }) => [line, result ?? error.message]), [
    [2, 9],
    [3, 'a "b"\nc'],
    [5, "007"],
    [6, "the row has 2 cells, the first row names 3"],
    [7, 25],
  ]);
  assertEquals((await statsOf(server)).totals.submitted, 4);
});

Deno.test("with --op a line is the arguments: an object holds all, a text is one", async () => {
  await using server = await TestServer.start();
  await using stage = await ManyStage.open(server.address, {
    lines: ["7", '{"n":8}', "{}", '{"op":"echo"}'],
  });
  assertEquals((await stage.submit("--op", "square", "--arg", "n", "--ordered")).code, 1);
  assertEquals(stage.told().map(({ result, error }) => result ?? error.message), [
    49,
    64,
    "square needs n: an integer, or a string of decimal digits; got none",
    "an argument of a task cannot be called op",
  ]);
});

Deno.test("ordered results are in the order of the lines, for any order of ends", async () => {
  await using server = await TestServer.start();
  const lines = Array.from({ length: 60 }, (_, i) => `{"op":"sleep","ms":${(i * 7) % 30}}`);
  await using stage = await ManyStage.open(server.address, { lines });
  assertEquals((await stage.submit("--ordered", "--in-flight", "16")).code, 0);
  assertEquals(stage.told().map(({ line }) => line), lines.map((_, i) => i + 1));
});

Deno.test("a strict run stops at the first refused line and names it", async () => {
  await using server = await TestServer.start();
  await using stage = await ManyStage.open(server.address, {
    lines: [...squares(3), '{"op":"nop"}', ...squares(100)],
  });
  const { code, stderr } = await stage.submit("--strict", "--in-flight", "1");
  assertEquals(code, 2);
  assertStringIncludes(stderr, 'line 4: no worker has an op "nop"');
  assertEquals(stage.told().map(({ line }) => line), [1, 2, 3]);
});

Deno.test("a run waits for a full server, and every line gets its result", async () => {
  await using server = await TestServer.start({ limits: { maxQueued: 50 } });
  await using stage = await ManyStage.open(server.address, {
    lines: Array.from({ length: 300 }, (_, i) => `{"op":"sleep","ms":${i % 3}}`),
  });
  const { code, stderr } = await stage.submit("--in-flight", "200");
  assertEquals(code, 0, stderr);
  assertEquals(new Set(stage.told().map(({ line }) => line)).size, 300);
  assertStringIncludes(stderr, "the server takes no more just now");
});

Deno.test("Ctrl-C waits for running tasks, and --resume sends the rest", async () => {
  await using server = await TestServer.start();
  await using stage = await ManyStage.open(server.address, {
    lines: Array.from({ length: 40 }, () => '{"op":"sleep","ms":100}'),
  });
  const first = stage.start("--in-flight", "4");
  while ((await statsOf(server)).totals.finished < 4) await delay(5);
  first.signal("SIGINT");
  const { code, stderr } = await first.ended;
  assertEquals(code, 130, stderr);
  assertStringIncludes(
    stderr,
    `resume with: sd submit --server ${stage.server} --file ${stage.file} --in-flight 4 --resume`,
  );
  const done = stage.told().length;
  assert(done >= 4 && done < 40, `${done} results`);
  assertEquals((await statsOf(server)).totals.submitted, done);
  assertEquals((await stage.submit("--resume")).code, 0);
  assertEquals(new Set(stage.told().map(({ line }) => line)).size, 40);
  assertEquals([stage.told().length, (await statsOf(server)).totals.submitted], [40, 40]);
});

Deno.test("a second Ctrl-C leaves running tasks", async () => {
  await using server = await TestServer.start({ workers: 1 });
  await using stage = await ManyStage.open(server.address, {
    lines: ['{"op":"sleep","ms":60000,"task":{"id":"nap"}}', ...squares(3)],
  });
  const run = stage.start("--in-flight", "1");
  while ((await statsOf(server)).tasks.running < 1) await delay(5);
  run.signal("SIGINT");
  await run.says("no more lines are sent; waiting for 1 task");
  run.signal("SIGINT");
  const { code, stderr } = await run.ended;
  assertEquals(code, 130, stderr);
  assertStringIncludes(stderr, "1 task goes on");
  assert(stage.hasJournal());
  await using client = await connect(server.address);
  await client.cancel("nap");
  // Ends that came while no run waited are reported by the resumed run.
  assertEquals((await stage.submit("--resume")).code, 1);
  const told = stage.told().sort((a, b) => a.line - b.line);
  assertEquals(told.map(({ status }) => status), ["cancelled", ...Array(3).fill("completed")]);
});

Deno.test("flags that exclude each other are refused, and one payload takes --op too", async () => {
  await using server = await TestServer.start();
  await using stage = await ManyStage.open(server.address, { lines: ["x"] });
  for (
    const [args, message] of [
      [["--strings"], "--strings is for CSV"],
      [["--arg", "n"], "--arg needs --op"],
      [["--csv", "--separator", "ab"], "--separator is one character"],
      [["--op", "echo", "--arg", "task"], "cannot be called task"],
      [["--resume"], "was interrupted"],
    ] as const
  ) {
    const { code, stderr } = await stage.submit(...args);
    assertEquals(code, 2, stderr);
    assertStringIncludes(stderr, message);
  }
  const one = await runSd(["submit", "--server", stage.server, "--op", "square", '{"n":7}']);
  assertEquals([one.code, one.stdout], [0, "49\n"]);
  const stray = await runSd(["submit", "--server", stage.server, "--ordered", "hello"]);
  assertEquals(stray.code, 2);
  assertStringIncludes(stray.stderr, "--ordered is for many tasks");
});
