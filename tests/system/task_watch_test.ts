/** `--watch`: a changed task file is loaded into a fresh process. Running tasks go on; a broken file changes nothing. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { delay } from "@std/async/delay";
import { TaskWatch } from "../../cli/pool/task_watch.ts";
import { RawClient } from "../kit/raw_client.ts";
import { SdServe } from "../kit/sd_process.ts";
import { TaskFolder } from "../kit/task_folder.ts";
import { until } from "../kit/until.ts";

const PATIENCE_MS = 60_000;

function tasks(version: number): string {
  return `
    import { one } from "./one.js";
    export const version = () => ${version} * one;
    export const slow = async () => {
      await new Promise((resolve) => setTimeout(resolve, 1500));
      return ${version};
    };
  `;
}

async function resultOf(client: RawClient, op: string): Promise<unknown> {
  const { error: refused } = await client.ask({ op });
  if (refused) return refused.code;
  const { result, error } = await client.object();
  return error?.message ?? result;
}

async function untilLogged(serve: SdServe, text: string, count = 1): Promise<void> {
  const isLogged = () => serve.lines.filter((line) => line.includes(text)).length >= count;
  await until(`${count} × "${text}" is logged`, isLogged);
}

Deno.test("a changed file is loaded, a broken one is reported, and running tasks finish with their old code", async () => {
  using folder = new TaskFolder({ "tasks.js": tasks(1), "one.js": "export const one = 1;" });
  await using serve = await SdServe.start([folder.file("tasks.js"), "--workers", "2", "--watch"]);
  using client = await RawClient.connect(serve.address);
  assertEquals(await resultOf(client, "version"), 1);

  using slow = await RawClient.connect(serve.address);
  await slow.ask({ op: "slow" });
  folder.write("tasks.js", tasks(2));
  await untilLogged(serve, "their new version is loaded");
  assertEquals(await resultOf(client, "version"), 2);
  assertEquals((await slow.object()).result, 1);

  folder.write("tasks.js", "export const version = () => {");
  await untilLogged(serve, "the version before it goes on");
  assertStringIncludes(serve.lines.at(-1) ?? "", "tasks.js:1: SyntaxError");
  assertEquals(await resultOf(client, "version"), 2);

  folder.write("tasks.js", tasks(3));
  await untilLogged(serve, "their new version is loaded", 2);
  assertEquals(await resultOf(client, "version"), 3);

  // A file that it imports counts as well.
  folder.write("one.js", "export const one = 10;");
  await untilLogged(serve, "their new version is loaded", 3);
  assertEquals(await resultOf(client, "version"), 30);
});

Deno.test("a file that does not load at first is loaded once it does, and a new file in a folder is an op", async () => {
  using folder = new TaskFolder({ "ops/tasks.js": "export const f = () => {" });
  await using serve = await SdServe.start([`${folder.path}/ops`, "--workers", "1", "--watch"], {
    started: "waiting for a change",
  });
  folder.write("ops/tasks.js", "export const f = () => 'mended';");
  await untilLogged(serve, "[dispatcher] started");
  using client = await RawClient.connect(serve.address);
  assertEquals(await resultOf(client, "f"), "mended");
  folder.write("ops/more.js", "export const g = () => 'more';");
  // The repaired file can be loaded twice: because it changed, and because of the next attempt.
  const end = performance.now() + PATIENCE_MS;
  while (await resultOf(client, "g") !== "more" && performance.now() < end) await delay(50);
  assertEquals(await resultOf(client, "g"), "more");
});

/** Each replaces the version before by version `n`, in the folder that `watched` gives to `--watch`. */
const SWAPS: Record<
  string,
  { files: string[]; watched: string; swap: (folder: string, n: number) => void }
> = {
  "a folder that is deleted and created again": {
    files: ["ops/tasks.js"],
    watched: "ops",
    swap(folder, n) {
      Deno.removeSync(`${folder}/ops`, { recursive: true });
      if (n % 2 === 0) Deno.mkdirSync(`${folder}/ops`);
      // Long enough for the change to be seen.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
      Deno.mkdirSync(`${folder}/ops`, { recursive: true });
      Deno.writeTextFileSync(`${folder}/ops/tasks.js`, plain(n));
    },
  },
  "a link that is swapped, as in a ConfigMap": {
    files: [],
    watched: "ops/tasks.js",
    swap(folder, n) {
      Deno.mkdirSync(`${folder}/ops/..v${n}`, { recursive: true });
      Deno.writeTextFileSync(`${folder}/ops/..v${n}/tasks.js`, plain(n));
      Deno.symlinkSync(`..v${n}`, `${folder}/ops/..data_tmp`);
      Deno.renameSync(`${folder}/ops/..data_tmp`, `${folder}/ops/..data`);
      if (n === 1) Deno.symlinkSync("..data/tasks.js", `${folder}/ops/tasks.js`);
      else Deno.removeSync(`${folder}/ops/..v${n - 1}`, { recursive: true });
    },
  },
  "a link to a folder that is swapped": {
    files: [],
    watched: "current",
    swap(folder, n) {
      Deno.mkdirSync(`${folder}/releases/${n}`, { recursive: true });
      Deno.writeTextFileSync(`${folder}/releases/${n}/tasks.js`, plain(n));
      Deno.symlinkSync(`releases/${n}`, `${folder}/next`);
      Deno.renameSync(`${folder}/next`, `${folder}/current`);
    },
  },
  "a file that is replaced by rename, and missing for a moment": {
    files: ["ops/tasks.js"],
    watched: "ops/tasks.js",
    swap(folder, n) {
      Deno.renameSync(`${folder}/ops/tasks.js`, `${folder}/ops/tasks.js~`);
      Deno.writeTextFileSync(`${folder}/ops/.tasks.swp`, plain(n));
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
      Deno.renameSync(`${folder}/ops/.tasks.swp`, `${folder}/ops/tasks.js`);
    },
  },
  "an import outside the folder": {
    files: ["ops/tasks.js"],
    watched: "ops",
    swap(folder, n) {
      Deno.mkdirSync(`${folder}/lib`, { recursive: true });
      Deno.writeTextFileSync(`${folder}/lib/n.js`, `export const n = ${n};`);
      Deno.writeTextFileSync(
        `${folder}/ops/tasks.js`,
        'import { n } from "../lib/n.js"; export const version = () => n;',
      );
    },
  },
};
const plain = (n: number) => `export const version = () => ${n};`;

for (const [what, { files, watched, swap }] of Object.entries(SWAPS)) {
  Deno.test(`${what} is followed`, async () => {
    using folder = new TaskFolder(Object.fromEntries(files.map((file) => [file, plain(0)])));
    if (files.length === 0) swap(folder.path, 1);
    await using serve = await SdServe.start([
      `${folder.path}/${watched}`,
      "--workers",
      "1",
      "--watch",
    ]);
    using client = await RawClient.connect(serve.address);
    for (let n = 2; n <= 4; n++) {
      swap(folder.path, n);
      for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await delay(50)) {
        if (await resultOf(client, "version") === n) break;
      }
      assertEquals(await resultOf(client, "version"), n, serve.lines.join("\n"));
    }
  });
}

Deno.test("a folder that changes all the time is watched as well", async () => {
  using folder = new TaskFolder({ "tasks.js": plain(1) });
  const seen: string[] = [];
  const watch = new TaskWatch({
    args: [folder.file("tasks.js")],
    changed: (files) => seen.push(Deno.readTextFileSync(files[0]!.path)),
    fault: (message) => seen.push(message),
  });
  watch.start();
  const noise = setInterval(() => folder.write("noise.log", String(performance.now())), 10);
  try {
    folder.write("tasks.js", plain(22));
    for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await delay(20)) {
      if (seen.length > 0) break;
    }
  } finally {
    clearInterval(noise);
    watch.stop();
  }
  assertEquals(seen, [plain(22)]);
});

Deno.test("changes are found on systems that report none", async () => {
  using folder = new TaskFolder({ "tasks.js": plain(1) });
  const { watchFs } = Deno;
  const seen: string[] = [];
  Deno.watchFs = () => {
    throw new Error("no watches are left");
  };
  const watch = new TaskWatch({
    args: [folder.file("tasks.js")],
    changed: (files) => seen.push(Deno.readTextFileSync(files[0]!.path)),
    fault: (message) => seen.push(message),
  });
  try {
    watch.start();
    folder.write("tasks.js", plain(22));
    for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await delay(20)) {
      if (seen.length > 0) break;
    }
    Deno.removeSync(folder.file("tasks.js"));
    for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await delay(20)) {
      if (seen.length > 1) break;
    }
  } finally {
    watch.stop();
    Deno.watchFs = watchFs;
  }
  assertEquals(seen[0], plain(22));
  assertStringIncludes(seen[1] ?? "", "is not there");
});
