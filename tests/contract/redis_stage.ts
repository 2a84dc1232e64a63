/** Opens a redis engine for a test: under a name of its own in Redis, no jitter, and every report is an error. */

import type { EndedSink, Engine } from "../../server/engine/engine.ts";
import { openJournaledEngine } from "../../server/engine/journaled/journaled_engine.ts";
import type { PagerSizes } from "../../server/engine/journaled/pager.ts";
import type { Lead, ServerInfo, SharedStore } from "../../server/engine/journaled/shared_store.ts";
import { openRedis } from "../../server/engine/redis/open_redis.ts";
import { OwnKeys } from "../kit/services.ts";
import { CuttingProxy } from "../kit/cutting_proxy.ts";
import { NOW } from "./contract_steps.ts";
import { patient } from "./sqlite_files.ts";
import type { StoreStage } from "./store_contract.ts";

export function server(members: Partial<ServerInfo> = {}): ServerInfo {
  return {
    id: crypto.randomUUID(),
    name: "a",
    machine: "here",
    address: "127.0.0.1:5000",
    version: "0",
    pid: 1,
    startedAt: NOW,
    isDraining: false,
    ...members,
  };
}

/** Takes the lead as a server of its own. */
export async function leadOf(shared: SharedStore, self = server()): Promise<Lead> {
  const signal = AbortSignal.timeout(30_000);
  return await shared.campaign(self, { signal, waitMs: () => 0 });
}

export interface RedisEngineOptions {
  readonly sizes?: Partial<PagerSizes>;
  readonly now?: number;
  readonly ended?: EndedSink;
  readonly report?: (message: string) => void;
}

/** The engine of a server that leads; its `close` gives the lead back. */
export async function engineOn(url: string, options: RedisEngineOptions = {}): Promise<Engine> {
  const { sizes = {}, now = NOW, ended = () => {}, report = throwing } = options;
  const shared = await openRedis(url, { report });
  const lead = await leadOf(shared);
  const engine = await openJournaledEngine({
    name: "redis",
    store: lead.store,
    opened: lead.opened,
    sweeper: lead.sweeper,
    now,
    ended,
    report,
    random: () => 0.5,
    sizes,
  });
  const close = engine.close.bind(engine);
  engine.close = async () => {
    await close();
    await lead.resign();
    await shared.close();
  };
  return patient(engine);
}

/** A new engine in the shared Redis of the machine; its keys are removed when it is closed. */
export async function newEngine(options: RedisEngineOptions = {}): Promise<Engine> {
  const keys = new OwnKeys();
  const engine = await engineOn(`${keys.server}?name=${keys.name}`, options);
  const close = engine.close.bind(engine);
  engine.close = async () => {
    await close();
    await keys[Symbol.asyncDispose]();
  };
  return engine;
}

/** A store in the shared Redis, behind a proxy that a test can cut. */
export async function newStage(): Promise<StoreStage> {
  const keys = new OwnKeys();
  const { hostname, port } = new URL(keys.server);
  const proxy = new CuttingProxy({ hostname, port: Number(port || 6379) });
  const url = `redis://127.0.0.1:${proxy.port}?name=${keys.name}`;
  const { Redis } = await import("ioredis");
  const redis = new Redis(keys.server);
  const open: [SharedStore, Lead][] = [];
  return {
    cut: () => proxy.cut(),
    open: async () => {
      // As if the lease of the one before had run out.
      await redis.hset(`{sd:${keys.name}}:lead`, "until", "1");
      const shared = await openRedis(url, { report: throwing });
      const lead = await leadOf(shared);
      open.push([shared, lead]);
      return lead;
    },
    [Symbol.asyncDispose]: async () => {
      for (const [shared, lead] of open) {
        await lead.store.close();
        await lead.resign();
        await shared.close();
      }
      await redis.quit();
      await proxy[Symbol.asyncDispose]();
      await keys[Symbol.asyncDispose]();
    },
  };
}

function throwing(message: string): void {
  // What a Redis of the machine does with its disk is not the test's.
  if (/append/.test(message)) return;
  throw new Error(message);
}
