/** The examples, by the commands of their own READMEs. */

import { assert, assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { decodePng, encodePng } from "../../examples/thumbnails/png.ts";
import { ReadmeSession } from "../kit/readme_session.ts";

const EXAMPLES = new URL("../../examples/", import.meta.url);

function session(name: string, ports?: number[]): ReadmeSession {
  return new ReadmeSession(new URL(`${name}/`, EXAMPLES), ports);
}

Deno.test("examples/thumbnails: pictures are made small, and no other file is read", async () => {
  await using example = session("thumbnails");
  await example.run();
  for (const [name, width, height] of [["sunset.png", 64, 48], ["mandelbrot.png", 64, 48]]) {
    const small = decodePng(Deno.readFileSync(`${example.folder}/thumbnails/${name}`));
    assertEquals([small.width, small.height], [width, height]);
    const photo = decodePng(Deno.readFileSync(`${example.folder}/photos/${name}`));
    for (const [at, mean] of meanOf(photo.rgba).entries()) {
      assert(Math.abs(mean - meanOf(small.rgba)[at]!) < 3, `${name}: another colour`);
    }
    assertEquals(decodePng(encodePng(photo)), photo);
  }
});

Deno.test("examples/fetch: a passing error is tried again, a lasting one is not", async () => {
  await using example = session("fetch", [8123, 8124]);
  await example.run();
});

Deno.test("examples/primes: a thousand tasks and one after them count the primes", async () => {
  await using example = session("primes");
  await example.run();
});

Deno.test("examples/nightly: each run has the report of its own day", async () => {
  await using example = session("nightly");
  await example.run();
  const [yesterday, today] = [-1, 0].map((days) =>
    new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10)
  );
  // Midnight may come in between.
  for (const day of [yesterday, today]) {
    Deno.writeTextFileSync(`${example.folder}/sales/${day}.csv`, "tea,3.00\n");
  }
  const { stdout } = await example.shell(
    `sd submit --id soon --cron '* * * * * *' --json '{"op":"daily_report"}'`,
  );
  const { next_at } = JSON.parse(stdout).data;
  // The task has the time in its name; until that comes there is none.
  const end = Date.now() + 60_000;
  for (let result = ""; result === "";) {
    assert(Date.now() < end, `there is no result of ${next_at}`);
    await delay(100);
    result = (await example.shell(`sd result 'soon:${next_at}'`)).stdout;
    if (result !== "") assertEquals(JSON.parse(result).sums, { tea: 3 });
  }
  const report = Deno.readTextFileSync(`${example.folder}/reports/${yesterday}.json`);
  assertEquals(JSON.parse(report), { tea: 3 });
});

Deno.test("every folder of examples is in the list, and has a README but for the starter", () => {
  const list = Deno.readTextFileSync(new URL("README.md", EXAMPLES));
  const names = [...Deno.readDirSync(EXAMPLES)].map(({ name }) => name)
    .filter((name) => name !== "README.md");
  for (const name of names) assert(list.includes(`](${name})`), name);
});

function meanOf(rgba: Uint8Array): number[] {
  const sums = [0, 0, 0, 0];
  for (const [i, value] of rgba.entries()) sums[i % 4]! += value;
  return sums.map((sum) => sum / (rgba.length / 4));
}
