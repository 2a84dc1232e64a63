/** Worker processes that have to be replaced, over and over: killed, or ended for a task that never yields. */

import { delay } from "@std/async/delay";
import { RawClient } from "../kit/raw_client.ts";
import { SdServe, shell } from "../kit/sd_process.ts";
import { type Footprint, PARTS, settledFootprintOf } from "./footprint.ts";

/** Age in ms from which a process that dies is replaced at once. */
const GROWN_UP_MS = 1100;

/** The footprint of the server after each part of `rounds`: in every third the process is killed. */
export async function soakProcesses(rounds: number): Promise<Footprint[]> {
  await using server = await SdServe.start(["--workers", "2", "--engine", "memory:"]);
  using client = await RawClient.connect(server.address);
  const footprints: Footprint[] = [];
  for (let round = 0; footprints.length < PARTS; round++) {
    if (round % 3 === 0) await killPool(server.child.pid);
    else await getStuck(client);
    await expectSquare(client, round);
    await untilOnePool(server.child.pid);
    if (round + 1 >= rounds * (footprints.length + 1) / PARTS) {
      footprints.push(await settledFootprintOf(server.child.pid));
    }
  }
  return footprints;
}

async function killPool(server: number): Promise<void> {
  await delay(GROWN_UP_MS);
  await shell(
    `kill -9 $(ps -eo pid=,ppid=,args= | awk '$2 == ${server} && /work --pool/ {print $1}')`,
  );
}

async function getStuck(client: RawClient): Promise<void> {
  await client.ask({ op: "hash", data: "x", rounds: 1e12, task: { timeout: 50 } });
  const end = await client.object();
  if (end.error?.code !== "timeout") throw new Error(`not stuck: ${JSON.stringify(end)}`);
}

async function expectSquare(client: RawClient, n: number): Promise<void> {
  await client.ask({ op: "square", n });
  const end = await client.object();
  if (end.result !== n * n) throw new Error(`a wrong result: ${JSON.stringify(end)}`);
}

/** The one before has ended. */
async function untilOnePool(server: number): Promise<void> {
  const count = `ps -o args= --ppid ${server} | grep -c 'work --pool'`;
  while ((await shell(count)).trim() !== "1") await delay(20);
}
