/**
 * A disk that fails in the middle of a commit: what was refused is not there after a restart, what was acknowledged
 * is, and service goes on when the disk works again.
 */

import { assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { needing } from "../kit/needs.ts";
import { RawClient } from "../kit/raw_client.ts";
import { SdServe } from "../kit/sd_process.ts";
import { type DiskFault, FailingDisk, hasFailingDisk } from "./failing_disk.ts";

const onFailingDisk = needing("gcc, on Linux", hasFailingDisk);

const SYNC: DiskFault = { call: "sync", file: "-wal", error: "EIO" };
const WRITE: DiskFault = { call: "write", file: "-wal", error: "ENOSPC" };

interface Stage {
  readonly disk: FailingDisk;
  readonly serve: () => Promise<SdServe>;
}

async function withStage(test: (stage: Stage) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "sd-disk-" });
  try {
    const disk = await FailingDisk.build(folder);
    const env = { ...disk.env, SD_DATA: `${folder}/data` };
    // Without workers: what is queued stays as it is.
    await test({
      disk,
      serve: () => SdServe.start(["--workers", "0"], { env }),
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Asks until the disk works again and one is taken; . */
async function untilTaken(client: RawClient, id: string): Promise<{ status: string }> {
  for (;;) {
    const reply = await submit(client, id);
    if (!reply.error) return reply;
    assertEquals(reply.error.code, "storage_full");
    await delay(20);
  }
}

function submit(client: RawClient, id: string) {
  return client.ask({ op: "echo", data: "x".repeat(200), task: { id, wait: false } });
}

async function statusOf(client: RawClient, id: string): Promise<unknown> {
  const { status, error } = await client.ask({ cmd: "get", task_id: id });
  return status ?? error?.code;
}

/** What a server with a failing disk says of tasks and commands. */
async function refuses(client: RawClient, round: number): Promise<string[]> {
  const refused: string[] = [];
  // One large commit, then small ones: the log must not keep the end of the large one.
  for (const [i, size] of [40, 5, 1].entries()) {
    const ids = Array.from({ length: size }, (_, n) => `${round}.no.${i}.${n}`);
    await client.sendObjects(
      ...ids.map((id) => ({ op: "echo", data: "y".repeat(3000), task: { id, wait: false } })),
    );
    for (const id of ids) {
      assertEquals((await client.object()).error?.code, "storage_full");
      refused.push(id);
    }
  }
  const cancel = await client.ask({ cmd: "cancel", task_id: `${round}.1` });
  assertEquals(cancel.error?.code, "storage_full");
  const pause = await client.ask({ cmd: "pause", op: "echo" });
  assertEquals(pause.error?.code, "storage_full");
  assertEquals(await statusOf(client, `${round}.no.0.0`), "not_found");
  return refused;
}

/** `mended`: the disk works again before the server is killed. */
const CASES: readonly { faults: readonly DiskFault[]; mended: readonly boolean[] }[] = [
  { faults: [SYNC], mended: [false] },
  { faults: [WRITE], mended: [false, true] },
  { faults: [SYNC, { ...SYNC, call: "cut" }], mended: [true] },
];

for (const { faults, mended } of CASES) {
  const names = faults.map(({ call, error }) => `${call} ${error}`).join(", ");
  Deno.test({
    ...onFailingDisk(
      `a log fails with ${names}: what was refused is not there, what was kept is, and service goes on`,
    ),
    fn: () =>
      withStage(async ({ disk, serve }) => {
        const [kept, refused]: [string[], string[]] = [[], []];
        for (const [round, isMended] of mended.entries()) {
          await using server = await serve();
          using client = await RawClient.connect(server.address);
          for (let i = 0; i < 4; i++) {
            assertEquals((await submit(client, `${round}.${i}`)).status, "queued");
            kept.push(`${round}.${i}`);
          }
          const { status } = await client.ask({ cmd: "cancel", task_id: `${round}.0` });
          assertEquals(status, "cancelled");
          await disk.fail(...faults);
          refused.push(...await refuses(client, round));
          if (isMended) {
            await disk.fail();
            assertEquals((await untilTaken(client, `${round}.back`)).status, "queued");
            kept.push(`${round}.back`);
          }
          await server.stop("SIGKILL");
          await disk.fail();
        }
        await using server = await serve();
        using client = await RawClient.connect(server.address);
        for (const id of kept) {
          assertEquals(await statusOf(client, id), id.endsWith(".0") ? "cancelled" : "queued", id);
        }
        for (const id of refused) assertEquals(await statusOf(client, id), "not_found", id);
        assertEquals((await client.ask({ cmd: "stats" })).paused, []);
      }),
  });
}
