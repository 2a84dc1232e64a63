/**
 * `deno task house`: how large the house is (files, lines, rooms, files with one importer), and through how many files one task
 * goes. The way is measured, not counted by hand: a server and a worker process run without tasks and with many; a file
 * is on the way if one of its functions ran about once for each task. Code inside Web Workers is not measured.
 */

// deno-lint-ignore-file no-console

import { TextLineStream } from "@std/streams/text-line-stream";
import { connect } from "../client/mod.ts";

const ROOT = new URL("../", import.meta.url);
const PRODUCT = ["cli", "client", "net", "protocol", "server", "workers"];
const TASKS = 300;
/** A function that ran for this part of the tasks belongs to their way. */
const SHARE = 0.9;
const SECRET = "secret of the measurement";
const SMALL_FILE_LINES = 80;

function* filesIn(folder: string): Generator<string> {
  for (const entry of Deno.readDirSync(new URL(`${folder}/`, ROOT))) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) yield* filesIn(path);
    else if (path.endsWith(".ts")) yield path;
  }
}

function printSizes(): void {
  const files = ["main.ts", ...PRODUCT.flatMap((folder) => [...filesIn(folder)])].map((path) => {
    const text = Deno.readTextFileSync(new URL(path, ROOT));
    const imports = [...text.matchAll(/(?:from|import\(|new URL\()\s*"(\.[^"]+\.ts)"/g)]
      .map((match) => new URL(match[1]!, new URL(path, ROOT)).href.slice(ROOT.href.length));
    return { path, lines: text.split("\n").length - 1, imports: new Set(imports) };
  });
  const sizes = files.map(({ lines }) => lines).toSorted((a, b) => a - b);
  const rooms = Map.groupBy(files, ({ path }) => path.slice(0, path.lastIndexOf("/") + 1));
  const [room, inRoom] = [...rooms].toSorted(([, a], [, b]) => b.length - a.length)[0]!;
  const importers = (path: string) => files.filter(({ imports }) => imports.has(path)).length;
  const single = files.filter(({ path }) => importers(path) === 1);
  console.log(`files: ${files.length}, lines: ${sizes.reduce((sum, size) => sum + size)}`);
  console.log(`lines a file: median ${sizes[sizes.length >> 1]}, most ${sizes.at(-1)}`);
  console.log(`largest room: ${room} with ${inRoom.length} files`);
  const small = single.filter(({ lines }) => lines < SMALL_FILE_LINES).length;
  console.log(`files with one importer: ${single.length}, ${small} of them below 80 lines`);
}

function start(args: readonly string[], folder: string): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "-A", "--unstable-worker-options", `${ROOT.pathname}main.ts`]
      .concat(
        args,
      ),
    env: { DENO_COVERAGE_DIR: `${folder}/coverage`, SD_POOL_SECRET: SECRET, HOME: folder },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Reads `stream` to its end, and resolves with the first match of `sign` in a line of it. */
function seen(stream: ReadableStream<Uint8Array>, sign: RegExp): Promise<RegExpExecArray> {
  const lines = stream.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
  return new Promise((resolve, reject) => {
    void (async () => {
      for await (const line of lines) {
        const match = sign.exec(line);
        if (match) resolve(match);
      }
      reject(new Error(`a process ended before it said ${sign}`));
    })();
  });
}

/** How often each function of the house ran while a server and a worker process ran `tasks` tasks. */
async function runsOf(tasks: number): Promise<Map<string, number>> {
  const folder = Deno.makeTempDirSync({ prefix: "sd-house-" });
  try {
    const engine = ["--engine", `sqlite:${folder}/tasks.db`];
    const server = start(["serve", "--workers", "0", "--port", "0", ...engine], folder);
    const port = Number((await seen(server.stderr, /listening on 127\.0\.0\.1:(\d+)/))[1]);
    const pool = start(["work", "--pool"], folder);
    const orders = pool.stdin.getWriter();
    const say = (order: unknown) =>
      orders.write(new TextEncoder().encode(JSON.stringify(order) + "\n"));
    const address = { hostname: "127.0.0.1", port };
    const work = { taskFiles: [], permissions: {}, maxMemoryBytes: 2 ** 30 };
    await say({
      server: address,
      secret: SECRET,
      workers: 1,
      ...work,
      reconnect: false,
      nonce: "n",
    });
    await seen(pool.stdout, /"ready"/);
    const client = await connect({ port });
    for (let n = 0; n < tasks; n++) await client.run("square", { n });
    await client.close();
    await say({ stop: true, grace_ms: 1000 });
    await pool.status;
    server.kill("SIGTERM");
    await server.status;
    return countsIn(`${folder}/coverage`);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

interface Profile {
  readonly url: string;
  readonly functions: readonly {
    readonly ranges: readonly { readonly startOffset: number; readonly count: number }[];
  }[];
}

function countsIn(folder: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { name } of Deno.readDirSync(folder)) {
    if (!name.endsWith(".json")) continue;
    const { url, functions }: Profile = JSON.parse(Deno.readTextFileSync(`${folder}/${name}`));
    if (!url.startsWith(ROOT.href)) continue;
    for (const { ranges: [range] } of functions) {
      const place = `${url.slice(ROOT.href.length)} ${range!.startOffset}`;
      counts.set(place, (counts.get(place) ?? 0) + range!.count);
    }
  }
  return counts;
}

printSizes();
const without = await runsOf(0);
const way = new Set<string>();
for (const [place, runs] of await runsOf(TASKS)) {
  if (runs - (without.get(place) ?? 0) >= TASKS * SHARE) way.add(place.split(" ")[0]!);
}
console.log(`files on the way of a task, Web Workers apart: ${way.size}`);
for (const path of [...way].toSorted()) console.log(`  ${path}`);
