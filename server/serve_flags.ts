/** The flags of `sd serve`. */

import type { FlagSpecs, FlagValues } from "../cli/flag_spec.ts";
import { POOL_FLAGS } from "../cli/pool/pool_flags.ts";
import { DEFAULT_HOST, DEFAULT_PORT } from "../net/target.ts";
import { MAX_WORKERS } from "../protocol/limits.ts";
import { DURABILITIES } from "./engine/options.ts";
import { ENGINE_URLS } from "./engine/open.ts";
import { DEFAULT_LIMITS, type ServerLimits } from "./limits.ts";
import { LOG_FORMATS, LOG_LEVELS } from "./log.ts";

const MIB = 1024 * 1024;

export const SERVE_FLAGS = {
  workers: {
    type: "integer",
    help: "workers on this machine; 0: only those that come by sd work (default: one per core)",
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
    help: "port to listen on; 0: any free one",
    value: "PORT",
    min: 0,
    max: 65535,
    default: DEFAULT_PORT,
  },
  engine: {
    type: "string",
    help: `what keeps the tasks: ${ENGINE_URLS.join(", ")}`,
    value: "URL",
    env: "SD_ENGINE",
    default: "sqlite:",
  },
  data: {
    type: "string",
    help: "folder of the tasks' file; default: the state directory of the user",
    value: "DIR",
    env: "SD_DATA",
  },
  durability: {
    type: "string",
    help: "what is acknowledged survives a power failure (full), or only the end of sd (normal)",
    value: "LEVEL",
    choices: DURABILITIES,
    default: "full",
  },
  maxKept: {
    type: "integer",
    help: "records of final tasks in the file; the oldest go first",
    value: "N",
    min: 0,
    max: 1_000_000_000,
    default: 1_000_000,
  },
  maxFileMib: {
    type: "integer",
    help: "use of the file, in MiB, above which records of final tasks go",
    value: "MIB",
    min: 16,
    max: 16 * 1024 * 1024,
    default: 4096,
  },
  ...POOL_FLAGS,
  grace: {
    type: "duration",
    help: "how long running tasks may go on when the server stops",
    value: "TIME",
    default: 10_000,
  },
  logFormat: {
    type: "string",
    help: "how it talks on stderr",
    value: "FORMAT",
    choices: LOG_FORMATS,
    default: "text",
  },
  logLevel: {
    type: "string",
    help: "what it tells: everything, or only warnings and errors, or errors",
    value: "LEVEL",
    choices: LOG_LEVELS,
    default: "info",
  },
  tokenFile: {
    type: "string",
    help: "file with the tokens that clients must know, one a line; or set SD_TOKEN",
    value: "FILE",
  },
  tlsCert: {
    type: "string",
    help: "certificate in PEM: the port speaks TLS",
    value: "FILE",
  },
  tlsKey: { type: "string", help: "its key in PEM", value: "FILE" },
  insecure: {
    type: "boolean",
    help: "listen on an address that other machines can reach, without protection",
  },
  maxConnections: {
    type: "integer",
    help: "connections open at a time",
    value: "N",
    min: 1,
    max: 1_000_000,
    default: DEFAULT_LIMITS.maxConnections,
  },
  maxInFlight: {
    type: "integer",
    help: "tasks of one connection that are not final",
    value: "N",
    min: 1,
    max: 10_000_000,
    default: DEFAULT_LIMITS.maxInFlight,
  },
  maxQueued: {
    type: "integer",
    help: "tasks queued or delayed",
    value: "N",
    min: 1,
    max: 1_000_000_000,
    default: DEFAULT_LIMITS.maxQueued,
  },
  maxQueuedMib: {
    type: "integer",
    help: "what clients sent of all tasks that are not final, in MiB",
    value: "MIB",
    min: 1,
    max: 1_000_000,
    default: DEFAULT_LIMITS.maxQueuedBytes / MIB,
  },
  maxUnread: {
    type: "integer",
    help: "replies that one client leaves unread before it is cut off, in MiB",
    value: "MIB",
    min: 1,
    max: 16_384,
    default: DEFAULT_LIMITS.maxUnreadBytes / MIB,
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
    maxQueuedBytes: flags.maxQueuedMib * MIB,
    maxUnreadBytes: flags.maxUnread * MIB,
  };
}
