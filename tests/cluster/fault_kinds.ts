/** The faults of a cluster: each happens to it under load, is mended, and leaves it as it was before. */

import { delay } from "@std/async/delay";
import { CuttingProxy } from "../kit/cutting_proxy.ts";
import type { OwnPostgres, OwnRedis } from "../kit/services.ts";
import { until } from "../kit/until.ts";
import type { ClusterLoad } from "./cluster_load.ts";
import type { RealCluster, RealServer } from "./real_cluster.ts";

export type StoreName = "postgres" | "redis";

/** All that a fault can happen to. */
export interface FaultStage {
  readonly cluster: RealCluster;
  readonly load: ClusterLoad;
  readonly store: OwnPostgres | OwnRedis;
  /** The way of each server to the store, by its name. */
  readonly proxies: ReadonlyMap<string, CuttingProxy>;
}

export interface FaultKind {
  readonly name: string;
  /** The stores that it can happen to; default: both. */
  readonly stores?: readonly StoreName[];
  /** How often it happens in the long run. */
  readonly times: number;
  /** Longest gap that is promised, in ms. */
  readonly gapMs: number;
  readonly happen: (stage: FaultStage, lastsMs: number) => Promise<void>;
  /** How long it lasts, in ms, if it lasts. */
  readonly lastsMs?: readonly number[];
}

/** Waits until tasks end again. */
async function flowing({ load }: FaultStage): Promise<void> {
  const before = load.ended;
  await until("tasks that end", () => load.ended > before + 20);
}

async function newLeader({ cluster }: FaultStage, old: RealServer): Promise<void> {
  await until("another leader", async () => (await cluster.leader()).name !== old.name);
}

/** The server that leads ends by a signal; another leads, and it comes back as a follower. */
async function ends(stage: FaultStage, signal: Deno.Signal): Promise<void> {
  const { cluster } = stage;
  const leader = await cluster.leader();
  cluster.signal(leader, signal);
  await newLeader(stage, leader);
  await flowing(stage);
  await cluster.restart(leader);
}

/** A server that follows is killed; the others go on. */
async function followerEnds(stage: FaultStage): Promise<void> {
  const { cluster } = stage;
  const leader = await cluster.leader();
  const follower = cluster.servers.find((server) => server !== leader)!;
  cluster.signal(follower, "SIGKILL");
  await flowing(stage);
  await cluster.restart(follower);
}

async function freezes(stage: FaultStage, ms: number): Promise<void> {
  const { cluster } = stage;
  const leader = await cluster.leader();
  cluster.signal(leader, "SIGSTOP");
  const frozen = delay(ms);
  await newLeader(stage, leader);
  await flowing(stage);
  await frozen;
  cluster.signal(leader, "SIGCONT");
  await until("the old leader follows", async () => await cluster.role(leader) === "follows");
}

async function isCutOff(stage: FaultStage, ms: number): Promise<void> {
  const { cluster, proxies } = stage;
  const leader = await cluster.leader();
  const proxy = proxies.get(leader.name)!;
  proxy.hold();
  const cut = delay(ms);
  await newLeader(stage, leader);
  await flowing(stage);
  await cut;
  // What waited in the network comes late, and must change nothing.
  proxy.release();
  await until("the old leader follows", async () => await cluster.role(leader) === "follows");
}

async function losesSessions(stage: FaultStage): Promise<void> {
  const { store } = stage;
  if (!("sql" in store)) throw new Error("only PostgreSQL has sessions");
  await store.sql(
    "select pg_terminate_backend(pid) from pg_stat_activity " +
      "where pid <> pg_backend_pid() and backend_type = 'client backend'",
  );
  await flowing(stage);
}

async function restartsStore(stage: FaultStage, isKilled: boolean): Promise<void> {
  const { store } = stage;
  await (isKilled ? store.kill("SIGKILL") : store.stop());
  await store.start();
  await flowing(stage);
}

export const FAULT_KINDS: readonly FaultKind[] = [
  { name: "kill -9 leader", times: 100, gapMs: 1500, happen: (stage) => ends(stage, "SIGKILL") },
  { name: "SIGTERM leader", times: 20, gapMs: 500, happen: (stage) => ends(stage, "SIGTERM") },
  {
    name: "SIGSTOP leader",
    times: 20,
    gapMs: 6500,
    lastsMs: [15_000, 60_000],
    happen: freezes,
  },
  {
    name: "leader cut from the store",
    times: 20,
    gapMs: 6500,
    lastsMs: [20_000],
    happen: isCutOff,
  },
  { name: "follower killed", times: 20, gapMs: 1500, happen: followerEnds },
  {
    name: "sessions ended",
    stores: ["postgres"],
    times: 100,
    gapMs: 1000,
    happen: losesSessions,
  },
  {
    name: "store killed",
    times: 20,
    gapMs: 5000,
    happen: (stage) => restartsStore(stage, true),
  },
  {
    name: "store restarted",
    times: 20,
    gapMs: 5000,
    happen: (stage) => restartsStore(stage, false),
  },
];
