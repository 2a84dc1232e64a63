/** Opens the redis engine's side of a cluster: the store that servers share in one Redis. Called by `openSharedStore`. */

import { delay } from "@std/async/delay";
import { ClientError } from "../../../net/client_error.ts";
import { enginePassword } from "../engine_password.ts";
import {
  BEAT_MS,
  type ClusterView,
  type Lead,
  LEASE_MS,
  type ServerInfo,
  type SharedStore,
} from "../journaled/shared_store.ts";
import { checkTraits, readTraits } from "./checks.ts";
import { ConnectionLost, RedisReplyError } from "./connection.ts";
import { storeErrorOf } from "./faults.ts";
import { campaign, type LeadOptions } from "./lead.ts";
import { ControlLine, dialMaster, type Master, prefixOf } from "./master.ts";
import { BEAT } from "./script.ts";
import { parseRedisUrl, type RedisAddress, redisLabel } from "./url.ts";

export interface RedisOptions {
  /** A file whose first line is the password, if the URL has none; otherwise `SD_ENGINE_PASSWORD` has it. */
  readonly passwordFile?: string | undefined;
  /** Most records of final tasks; the oldest are dropped first. */
  readonly maxKept?: number;
  /** How long a Redis that does not answer is tried at the start, in ms: it may be starting, or failing over. */
  readonly patienceMs?: number;
  /** Called with messages for the operator. */
  readonly report?: (message: string) => void;
}

/** The version of the keys, and the oldest version of sd that may still use them. */
const VERSION = 1;
const MAX_KEPT = 1_000_000;
/** Default of `patienceMs`. */
const PATIENCE_MS = 10_000;
const START_AGAIN_MS = 250;
/** Longest wait for a beat, in ms. */
const BEAT_ANSWER_MS = BEAT_MS * 8;

/** Rejects with a `ClientError` that names the cure if this Redis cannot be used. */
export async function openRedis(url: string, options: RedisOptions = {}): Promise<SharedStore> {
  const { report = () => {}, maxKept = MAX_KEPT } = options;
  const address = parseRedisUrl(url);
  const dial = async (purpose: string, answerMs?: number) => {
    // Read at each login, so a password can be changed while the server runs.
    const password = address.password ??
      await enginePassword({ file: options.passwordFile, env: (name) => Deno.env.get(name) });
    return await dialMaster({ ...address, password }, {
      name: `sd-${address.name}-${purpose}`,
      scripts: true,
      ...(answerMs === undefined ? {} : { answerMs }),
    });
  };
  const until = performance.now() + (options.patienceMs ?? PATIENCE_MS);
  const first = async (): Promise<Master> => {
    try {
      return await dial("check");
    } catch (error) {
      const isPassing = error instanceof ConnectionLost && !(error.cause instanceof ClientError);
      if (!isPassing || performance.now() > until) throw error;
      await delay(START_AGAIN_MS);
      return await first();
    }
  };
  const secret = await firstLook(address, first, report);
  return new RedisShared(secret, {
    prefix: prefixOf(address),
    dial,
    maxKept,
    report,
    confirm: confirmOf(address.replicas),
  }, () => dial("servers", BEAT_ANSWER_MS));
}

function confirmOf(replicas: number): LeadOptions["confirm"] {
  if (replicas === 0) return undefined;
  return {
    command: ["WAITAOF", 1, replicas],
    isEnough: (answer) => {
      const [here, there] = answer as [number, number];
      return here >= 1 && there >= replicas;
    },
  };
}

/** Checks the Redis, makes the secret of the cluster if it has none, and resolves with it. */
async function firstLook(
  address: RedisAddress,
  dial: () => Promise<Master>,
  report: (message: string) => void,
): Promise<string> {
  const place = redisLabel(address);
  let master: Master | undefined;
  try {
    master = await dial();
    const { connection } = master;
    checkTraits(await readTraits(connection), { replicas: address.replicas, report });
    const meta = `${prefixOf(address)}meta`;
    const [most, secret] = await connection.call(["HMGET", meta, "minVersion", "secret"]) as [
      string | null,
      string | null,
    ];
    if (Number(most ?? 0) > VERSION) {
      throw new ClientError("usage", `the tasks in ${place} were kept by a newer sd`, {
        hint: "install the newer sd here, too",
      });
    }
    // A Redis without room can still be opened.
    if (secret !== null) return secret;
    const fresh = `${crypto.randomUUID()}${crypto.randomUUID()}`.replaceAll("-", "");
    for (
      const [name, value] of [["version", VERSION], ["minVersion", VERSION], ["secret", fresh]]
    ) {
      await connection.call(["HSETNX", meta, name!, value!]);
    }
    return String(await connection.call(["HGET", meta, "secret"]));
  } catch (error) {
    throw refusalOf(error, place);
  } finally {
    master?.connection.destroy("it was checked");
  }
}

function refusalOf(error: unknown, place: string): Error {
  if (error instanceof ConnectionLost) {
    if (error.cause instanceof ClientError) return error.cause;
    const isTls = place.startsWith("rediss:");
    return new ClientError("unreachable", `cannot reach Redis at ${place}: ${error.message}`, {
      hint: isTls
        ? "start it, or mend the URL of --engine; with rediss: the port must speak TLS"
        : "start it, or mend the URL of --engine",
    });
  }
  if (!(error instanceof RedisReplyError)) return error as Error;
  const isDenied = ["NOAUTH", "WRONGPASS", "NOPERM"].some((code) => error.has(code));
  return new ClientError("usage", `Redis at ${place} refuses: ${error.message}`, {
    hint: isDenied
      ? "set the user in the URL, and its password in SD_ENGINE_PASSWORD; the user needs the " +
        "keys {sd:*}* and the commands @read, @write, @scripting, @connection, info, time"
      : undefined,
  });
}

class RedisShared implements SharedStore {
  readonly name = "redis";
  readonly #control: ControlLine;
  /** The highest epoch that a beat has shown. */
  #epoch = 0;

  constructor(
    readonly secret: string,
    readonly lead: LeadOptions,
    dial: () => Promise<Master>,
  ) {
    this.#control = new ControlLine(dial);
  }

  async beat(self: ServerInfo): Promise<ClusterView> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      this.#control.drop("Redis does not answer");
      late.reject(new ConnectionLost(`Redis has not answered for ${BEAT_ANSWER_MS} ms`));
    }, BEAT_ANSWER_MS);
    try {
      return await Promise.race([this.#beat(self.id, JSON.stringify(self)), late.promise]);
    } catch (error) {
      throw storeErrorOf(error);
    } finally {
      clearTimeout(timer);
    }
  }

  async campaign(
    self: ServerInfo,
    options: { readonly signal: AbortSignal; readonly waitMs: () => number },
  ): Promise<Lead> {
    const lead = await campaign(self, {
      ...options,
      highest: () => this.#epoch,
      control: this.#control,
      lead: this.lead,
    });
    this.#epoch = Math.max(this.#epoch, lead.epoch);
    return lead;
  }

  async leave(self: ServerInfo): Promise<void> {
    await this.#beat(self.id, "").catch((error) => {
      throw storeErrorOf(error);
    });
  }

  async close(): Promise<void> {
    await this.#control.close();
  }

  async #beat(id: string, info: string): Promise<ClusterView> {
    const { connection } = await this.#control.master();
    const reply = await connection.run(BEAT, this.lead.prefix, [id, info, LEASE_MS]) as string[];
    const [now, leader, address, epoch, ...servers] = reply as [string, string, string, string];
    this.#epoch = Math.max(this.#epoch, Number(epoch));
    return {
      now: Number(now),
      leader: leader === "" ? undefined : { id: leader, address, epoch: Number(epoch) },
      servers: servers.map((text) => JSON.parse(text) as ServerInfo),
    };
  }
}
