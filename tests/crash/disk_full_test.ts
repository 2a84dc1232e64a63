/** A full disk loses no acknowledged task, and service comes back with room. */

import { assert, assertEquals } from "@std/assert";
import { say } from "../../cli/talk.ts";
import { needing } from "../kit/needs.ts";
import { DiskFullRun } from "./disk_full_run.ts";
import { SmallDisk } from "./small_disk.ts";

const DISK_MIB = 64;
/** With `SD_LONG=1` as many as the promise names. */
const RUNS = Deno.env.get("SD_LONG") ? 4 : 1;
const POINTS_A_RUN = Deno.env.get("SD_LONG") ? 5 : 2;

async function inFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "sd-disk-" });
  try {
    await Deno.mkdir(`${folder}/disk`);
    return await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Why this machine cannot have a small disk; nothing where it can. */
const lacking = Deno.build.os !== "linux" ? "it is not Linux" : await inFolder(async (folder) => {
  const disk = await SmallDisk.mount(`${folder}/disk`, 1);
  if (typeof disk === "string") return disk;
  await disk[Symbol.asyncDispose]();
});
const onSmallDisk = needing(`a small disk (${lacking})`, lacking === undefined);

Deno.test({
  ...onSmallDisk(
    `the disk full ${RUNS * POINTS_A_RUN} times: no acknowledged task is lost`,
  ),
  async fn() {
    assertEquals(lacking, undefined);
    for (let i = 0; i < RUNS; i++) {
      await inFolder(async (folder) => {
        const seed = (Date.now() + i) % 2 ** 31;
        const disk = await SmallDisk.mount(`${folder}/disk`, DISK_MIB);
        assert(disk instanceof SmallDisk, `seed ${seed}: ${disk}`);
        try {
          const points = POINTS_A_RUN;
          const { book, backAfterMs } = await new DiskFullRun({ seed, points, disk, folder }).run();
          say(`service back after ${backAfterMs.map((ms) => `${ms.toFixed(0)} ms`).join(", ")}`);
          assertEquals(book.faults.lines(), [], `seed ${seed}`);
          assertEquals(backAfterMs.length, points);
        } catch (error) {
          throw new Error(`seed ${seed}`, { cause: error });
        } finally {
          await disk[Symbol.asyncDispose]();
        }
      });
    }
  },
});
