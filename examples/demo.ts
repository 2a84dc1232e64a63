/**
 * `deno task demo`: starts the real server with two workers and sends it tasks with the real client. It kills the
 * server while some of them run and starts it again. It prints and checks the results, and stops the server. The exit
 * code is 0 only if every result was right.
 */

import { TextLineStream } from "@std/streams/text-line-stream";
import { type Client, connect } from "../client/mod.ts";
import { selfCommand } from "../cli/pool/self_command.ts";
import { print } from "../cli/talk.ts";

const BATCH = 1000;
/** Number of slow tasks: more than the server can finish before it is killed. */
const SLOW = 100;

interface Sample {
  readonly op: string;
  readonly args: Record<string, unknown>;
  readonly expected: unknown;
}

function sample(i: number): Sample {
  switch (i % 4) {
    case 0:
      return { op: "square", args: { n: i }, expected: i * i };
    case 1:
      return { op: "echo", args: { data: { i, text: "¡hola!" } }, expected: { i, text: "¡hola!" } };
    case 2:
      return { op: "sleep", args: { ms: i % 5 }, expected: i % 5 };
    default:
      return {
        op: "hash",
        args: { data: "abc" },
        expected: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
      };
  }
}

async function expectResult(client: Client, { op, args, expected }: Sample): Promise<unknown> {
  const task = await client.submit(op, args);
  const result = await task.result;
  if (JSON.stringify(result) !== JSON.stringify(expected)) {
    throw new Error(`${op} of ${JSON.stringify(args)} came back as ${JSON.stringify(result)}`);
  }
  return result;
}

/** Starts `sd serve` on a free port; resolves once it has logged its address. */
async function startServer(folder: string, port = 0) {
  const flags = ["--port", String(port), "--workers", "2", "--data", folder];
  // The code below reads its lines, in English.
  const { path, args } = selfCommand(["serve", "--lang", "en", ...flags]);
  const child = new Deno.Command(path, { args, stderr: "piped" }).spawn();
  const lines = child.stderr.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
  const listening = Promise.withResolvers<number>();
  const talk = (async () => {
    for await (const line of lines) {
      print(`  ${line}`);
      const port = /listening on .*:(\d+)/.exec(line)?.[1];
      if (port) listening.resolve(Number(port));
    }
    listening.reject(new Error("the server ended before it listened"));
  })();
  listening.promise.catch(() => undefined);
  return { child, talk, port: await listening.promise };
}

print("sd serve --port 0 --workers 2");
const folder = await Deno.makeTempDir({ prefix: "sd-demo-" });
let server = await startServer(folder);
const { port } = server;
try {
  await using client = await connect({ hostname: "127.0.0.1", port });
  for (const n of [4, 5, 7]) {
    const result = await expectResult(client, { op: "square", args: { n }, expected: n * n });
    print(`square ${n} → ${result}`);
  }
  const start = performance.now();
  await Promise.all(Array.from({ length: BATCH }, (_, i) => expectResult(client, sample(i))));
  const ms = Math.round(performance.now() - start);
  print(`${BATCH} mixed tasks (square, echo, sleep, hash) → ${BATCH} right answers in ${ms} ms`);
  const slow = await Promise.all(
    Array.from({ length: SLOW }, (_, i) => client.submit("sleep", { ms: 20 + i })),
  );
  server.child.kill("SIGKILL");
  await server.child.status;
  await server.talk;
  print(`kill -9 of the server, with ${SLOW} tasks acknowledged; sd serve --port ${port}`);
  server = await startServer(folder, port);
  const results = await Promise.all(slow.map((task) => task.result));
  if (results.some((result, i) => result !== 20 + i)) throw new Error(`wrong: ${results}`);
  print(`the client came back by itself → ${results.length} right answers`);
  const refused = await client.submit("squar", { n: 4 }).catch((error: Error) => error);
  print(`squar 4 → ${refused instanceof Error ? refused.message : "taken"}`);
  const { tasks, totals } = await client.stats();
  print(
    `since its start this server has finished ${totals.finished} tasks; its file holds ${tasks.completed} completed ones`,
  );
} finally {
  server.child.kill("SIGTERM");
  await server.talk;
}
const { code } = await server.child.status;
await Deno.remove(folder, { recursive: true });
print(code === 0 ? "done" : `the server ended with exit code ${code}`);
Deno.exit(code);
