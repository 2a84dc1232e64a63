/** Looks at a Redis before it is used: refuses one that would drop tasks, and says what "acknowledged" means on this one. */

import { ClientError } from "../../../net/client_error.ts";
import { infoOf, type RedisConnection, RedisReplyError } from "./connection.ts";

/** The oldest Redis whose commands the scripts need: `ZRANGE` with `BYLEX`. */
const OLDEST = [6, 2] as const;
/** The oldest Redis with `WAITAOF`. */
const OLDEST_WAITAOF = [7, 2] as const;

/** The properties of a Redis that matter for tasks. */
interface RedisTraits {
  readonly version: string;
  readonly policy: string | undefined;
  readonly hasAof: boolean;
  /** `undefined` if it may not be read. */
  readonly fsync: string | undefined;
}

export async function readTraits(connection: RedisConnection): Promise<RedisTraits> {
  const [server, memory, persistence, fsync] = await Promise.all([
    connection.call(["INFO", "server"]) as Promise<string>,
    connection.call(["INFO", "memory"]) as Promise<string>,
    connection.call(["INFO", "persistence"]) as Promise<string>,
    connection.call(["CONFIG", "GET", "appendfsync"]).catch((error) => {
      // Many hosted ones do not allow it.
      if (error instanceof RedisReplyError) return [];
      throw error;
    }) as Promise<string[]>,
  ]);
  return {
    version: infoOf(server, "redis_version") ?? "0",
    policy: infoOf(memory, "maxmemory_policy"),
    hasAof: infoOf(persistence, "aof_enabled") === "1",
    fsync: fsync[1],
  };
}

/** Throws a `ClientError` that names the cure; reports what the operator should know. */
export function checkTraits(
  { version, policy, hasAof, fsync }: RedisTraits,
  { replicas, report }: { replicas: number; report: (message: string) => void },
): void {
  if (isOlder(version, OLDEST)) {
    throw refused(`it is version ${version}`, `use Redis ${OLDEST.join(".")} or later`);
  }
  if (policy !== undefined && policy !== "noeviction") {
    throw refused(
      `its maxmemory-policy is ${policy}, so it drops tasks when its memory is full`,
      "run: redis-cli CONFIG SET maxmemory-policy noeviction",
    );
  }
  if (replicas > 0 && isOlder(version, OLDEST_WAITAOF)) {
    throw refused(
      `?wait=${replicas} needs WAITAOF, and version ${version} lacks it`,
      `use Redis ${OLDEST_WAITAOF.join(".")} or later, or leave ?wait out`,
    );
  }
  if (replicas > 0 && !hasAof) {
    throw refused(
      `?wait=${replicas} waits for the append-only file, and appendonly is off`,
      "run: redis-cli CONFIG SET appendonly yes",
    );
  }
  const warning = warningOf(hasAof, fsync);
  if (warning !== undefined) report(warning);
}

function warningOf(hasAof: boolean, fsync: string | undefined): string | undefined {
  if (!hasAof) {
    return "Redis keeps no append-only file: when it ends, acknowledged tasks and results since " +
      "its last snapshot are lost; run: redis-cli CONFIG SET appendonly yes";
  }
  if (fsync === "everysec") {
    return "Redis writes to its disk every second (appendfsync everysec): a power failure can " +
      "lose the last second or two of acknowledged tasks and results; " +
      "for none run: redis-cli CONFIG SET appendfsync always";
  }
  if (fsync === "no") {
    return "Redis leaves it to the system when to write to its disk (appendfsync no): a power " +
      "failure can lose half a minute of acknowledged tasks and results; " +
      "run: redis-cli CONFIG SET appendfsync always";
  }
  return undefined;
}

function isOlder(version: string, oldest: readonly [number, number]): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major < oldest[0] || (major === oldest[0] && minor < oldest[1]);
}

function refused(reason: string, cure: string): ClientError {
  return new ClientError("usage", `cannot use this Redis: ${reason}`, { hint: cure });
}
