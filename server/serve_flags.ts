/** The flags of `sd serve`, and the limits that they set. */

import type { FlagSpecs, FlagValues } from "../cli/flag_spec.ts";
import { POOL_FLAGS } from "../cli/pool/pool_flags.ts";
import { DEFAULT_HOST, DEFAULT_PORT } from "../net/target.ts";
import { MAX_WORKERS } from "../protocol/limits.ts";
import { DURABILITIES } from "./engine/options.ts";
import { ENGINE_URLS } from "./engine/open.ts";
import { DEFAULT_LIMITS, type ServerLimits } from "./limits.ts";
import { LOG_FORMATS, VERBOSITIES } from "./log.ts";

/** Unit of the size flags that are older than units. */
const MIB = 1024 * 1024;

export const SERVE_FLAGS = {
  workers: {
    type: "integer",
    help: "workers on this machine; 0 for workers of sd work only",
    fallback: "one per core",
    value: "N",
    min: 0,
    max: MAX_WORKERS,
  },
  host: {
    type: "string",
    help: "address to listen on",
    value: "HOST",
    default: DEFAULT_HOST,
  },
  port: {
    type: "integer",
    help: "port to listen on; 0 for any free port",
    value: "PORT",
    min: 0,
    max: 65535,
    default: DEFAULT_PORT,
  },
  engine: {
    type: "string",
    help: `engine that stores tasks: ${ENGINE_URLS.join(", ")}`,
    value: "URL",
    env: "SD_ENGINE",
    default: "sqlite:",
  },
  enginePasswordFile: {
    type: "string",
    help: "file with the password of PostgreSQL or Redis; or set SD_ENGINE_PASSWORD",
    value: "FILE",
    env: "SD_ENGINE_PASSWORD_FILE",
  },
  intake: {
    type: "list",
    help:
      "take tasks from a queue of RabbitMQ (amqp://HOST/?queue=Q) or NATS (nats://HOST?stream=S)",
    value: "URL",
  },
  data: {
    type: "string",
    help: "folder of the task file",
    fallback: "the state directory of the user",
    value: "DIR",
    env: "SD_DATA",
  },
  durability: {
    type: "string",
    help: "acknowledged tasks survive a power failure (full), or only the end of sd (normal)",
    value: "LEVEL",
    choices: DURABILITIES,
    default: "full",
  },
  maxKept: {
    type: "integer",
    help: "most records of final tasks in the file; the oldest are removed first",
    value: "N",
    min: 0,
    max: 1_000_000_000,
    default: 1_000_000,
  },
  maxFileMib: {
    type: "size",
    help: "size of the file above which records of final tasks are removed, as 4G or in MiB",
    value: "SIZE",
    min: 16 * MIB,
    max: 16 * 1024 * 1024 * MIB,
    default: 4096 * MIB,
    unitBytes: MIB,
  },
  ...POOL_FLAGS,
  grace: {
    type: "duration",
    help: "time for running tasks when the server stops",
    value: "TIME",
    default: 10_000,
  },
  advertise: {
    type: "string",
    help: "address of this server for the other servers of its cluster",
    fallback: "the address that it listens on",
    value: "HOST:PORT",
  },
  name: {
    type: "string",
    help: "name of this server in its cluster, for people",
    fallback: "its machine and port",
    value: "NAME",
  },
  drainDelay: {
    type: "duration",
    help: "time to serve on after the stop signal, until load balancers send clients elsewhere",
    fallback: "2s if servers share the engine, otherwise 0",
    value: "TIME",
  },
  logFormat: {
    type: "string",
    help: "format of the log on stderr",
    value: "FORMAT",
    choices: LOG_FORMATS,
    default: "text",
  },
  logLevel: {
    type: "string",
    help: "least level of log lines",
    value: "LEVEL",
    choices: VERBOSITIES,
    default: "info",
  },
  tokenFile: {
    type: "string",
    help: "file with the tokens of clients, a token a line; or set SD_TOKEN",
    value: "FILE",
  },
  tlsCert: {
    type: "string",
    help: "certificate in PEM, for TLS on the port",
    value: "FILE",
  },
  tlsKey: { type: "string", help: "key of the certificate in PEM", value: "FILE" },
  proxyFrom: {
    type: "string",
    help: "addresses of load balancers, which must begin each connection with a PROXY header",
    value: "CIDR,…",
  },
  insecure: {
    type: "boolean",
    help: "let other machines connect to --host without token and TLS",
  },
  maxConnections: {
    type: "integer",
    help: "most open connections",
    value: "N",
    min: 1,
    max: 1_000_000,
    default: DEFAULT_LIMITS.maxConnections,
  },
  maxInFlight: {
    type: "integer",
    help: "most unfinished tasks of a connection",
    value: "N",
    min: 1,
    max: 10_000_000,
    default: DEFAULT_LIMITS.maxInFlight,
  },
  maxQueued: {
    type: "integer",
    help: "most queued and delayed tasks",
    value: "N",
    min: 1,
    max: 1_000_000_000,
    default: DEFAULT_LIMITS.maxQueued,
  },
  maxQueuedMib: {
    type: "size",
    help: "limit for payloads of unfinished tasks, as 512M or in MiB",
    value: "SIZE",
    min: MIB,
    max: 1_000_000 * MIB,
    default: DEFAULT_LIMITS.maxQueuedBytes,
    unitBytes: MIB,
  },
  maxUnread: {
    type: "size",
    help: "unread replies above which a client is disconnected, as 64M or in MiB",
    value: "SIZE",
    min: MIB,
    max: 16_384 * MIB,
    default: DEFAULT_LIMITS.maxUnreadBytes,
    unitBytes: MIB,
  },
} as const satisfies FlagSpecs;

export type ServeFlags = FlagValues<typeof SERVE_FLAGS>;

/** The limits that the flags set. */
export function limitsOf(flags: ServeFlags): ServerLimits {
  return {
    ...DEFAULT_LIMITS,
    maxConnections: flags.maxConnections,
    maxInFlight: flags.maxInFlight,
    maxQueued: flags.maxQueued,
    maxQueuedBytes: flags.maxQueuedMib,
    maxUnreadBytes: flags.maxUnread,
  };
}
