/**
 * Runs faults of one kind on three real servers under load, and says what the account found. Used by `faults_test.ts`, and by
 * `deno task faults` for the long runs.
 */

import { CuttingProxy } from "../kit/cutting_proxy.ts";
import { OwnPostgres, OwnRedis } from "../kit/services.ts";
import { TaskFolder } from "../kit/task_folder.ts";
import { ClusterLoad, type LoadReport } from "./cluster_load.ts";
import type { FaultKind, FaultStage, StoreName } from "./fault_kinds.ts";
import { RealCluster } from "./real_cluster.ts";

export interface FaultRunOptions {
  readonly kind: FaultKind;
  readonly store: StoreName;
  readonly times: number;
  /** How long each lasts, in ms, if it lasts. */
  readonly lastsMs?: number;
  readonly load: { readonly clients: number; readonly inFlight: number };
  /** Called after each fault, with its longest gap in ms. */
  readonly onFault?: (gapMs: number) => void;
}

export interface FaultRunReport extends LoadReport {
  /** The longest gap of each fault, in ms. */
  readonly gapsMs: readonly number[];
  /** Runs of handlers above one for each task. */
  readonly runsAgain: number;
  readonly log: string;
}

/** The op counts its runs in a file of its worker's process. */
const TASKS = `
export function counted({ n, folder }: { n: number; folder: string }): number {
  Deno.writeTextFileSync(\`\${folder}/runs\`, \`\${n}\\n\`, { append: true, create: true });
  return n * n;
}
`;

export async function runFaults(options: FaultRunOptions): Promise<FaultRunReport> {
  const { kind, times, lastsMs = 0, load: size, onFault } = options;
  // Redis must have an append on its disk before it answers, or a kill loses what was acknowledged.
  await using store = options.store === "redis"
    ? await OwnRedis.start({ appendfsync: "always" })
    : await OwnPostgres.start();
  using folder = new TaskFolder({ "tasks.ts": TASKS });
  const proxies = new Map(
    ["a", "b", "c"].map((name) => [
      name,
      new CuttingProxy({ hostname: "127.0.0.1", port: store.port }),
    ]),
  );
  try {
    await using cluster = await RealCluster.start({
      engine: (name) => store.url.replace(`:${store.port}`, `:${proxies.get(name)!.port}`),
      args: [
        folder.file("tasks.ts"),
        ...["--workers", "1", "--grace", "1s", `--allow-write=${folder.path}`],
      ],
    });
    const load = new ClusterLoad({
      ...size,
      addresses: cluster.addresses,
      op: "counted",
      args: { folder: folder.path },
    });
    const stage: FaultStage = { cluster, load, store, proxies };
    const gapsMs: number[] = [];
    for (let i = 0; i < times; i++) {
      load.resetGap();
      await kind.happen(stage, lastsMs);
      gapsMs.push(Math.round(load.report.gapMs));
      onFault?.(gapsMs.at(-1)!);
    }
    const report = await load.finish();
    const runs = Deno.readTextFileSync(`${folder.path}/runs`).split("\n").length - 1;
    return { ...report, gapsMs, runsAgain: runs - report.tasks, log: cluster.log };
  } finally {
    for (const proxy of proxies.values()) await proxy[Symbol.asyncDispose]();
  }
}
