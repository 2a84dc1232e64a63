/**
 * A server of a cluster: one of several on a shared store. Its doors are open from the first moment; its rooms are open while
 * it leads. Everything else that comes is relayed to the leader. `serve.ts` runs one for the command line.
 */

import { X509Certificate } from "node:crypto";
import { ClientError } from "../net/client_error.ts";
import { formatTarget, isLoopback, parseTarget } from "../net/target.ts";
import { quote } from "../protocol/errors.ts";
import type { ServerHealth } from "../protocol/task.ts";
import { PassedTime } from "./cluster/lease_keeper.ts";
import { Member } from "./cluster/member.ts";
import { Roster } from "./cluster/roster.ts";
import { Switchboard } from "./cluster/switchboard.ts";
import type { ServeConfig } from "./config.ts";
import { Doors } from "./doors.ts";
import type { EndedSink, Engine } from "./engine/engine.ts";
import type {
  ClusterView,
  Lead,
  ServerInfo,
  SharedStore,
} from "./engine/journaled/shared_store.ts";
import { Metrics } from "./metrics.ts";
import { openRooms } from "./rooms.ts";
import { DEFAULT_LEASE_MS, type Server, type ServerOptions } from "./server.ts";

/** How often a server that stops looks whether its relays are idle, in ms. */
const STOP_LOOK_MS = 50;

interface ClusterServerOptions extends Omit<ServerOptions, "openEngine"> {
  readonly store: SharedStore;
  /** Opens the engine of a lead. */
  readonly openEngine: (lead: Lead, ended: EndedSink) => Promise<Engine>;
  /** Where other servers reach this one; default: the address on which it listens. */
  readonly advertise?: string | undefined;
  /** Its name for people; default: its machine and port. */
  readonly name?: string | undefined;
  /** The name of the machine. */
  readonly machine: string;
  /** Ends the process at once; default: `Deno.exit`. */
  readonly exit?: (code: number) => void;
}

/** A running server of a cluster. */
export interface ClusterServer extends Server {
  readonly roster: Roster;
}

/**
 * Listens, joins the cluster, and campaigns. Rejects with a `ClientError` for an address or a certificate that cannot be used,
 * and with a `StoreError` if the store does not answer.
 */
export async function startClusterServer(options: ClusterServerOptions): Promise<ClusterServer> {
  const { store, clock, config, log, version, limits, exit = Deno.exit } = options;
  const metrics = new Metrics();
  const time = new PassedTime();
  const roster = new Roster(crypto.randomUUID());
  const health = (): ServerHealth => ({
    ok: !member.isDraining,
    role: roster.role,
    draining: member.isDraining,
    version,
  });
  const switchboard: Switchboard = new Switchboard({
    roster,
    secret: store.secret,
    hasTokens: config.tokens.length > 0,
    health,
    look: () => member.look(),
    limits,
    log,
  });
  const doors = await openDoors(options, { metrics, health, behind: switchboard });
  const member: Member = new Member({
    store,
    info: infoOf(options, { id: roster.self, doors }),
    roster,
    switchboard,
    openRooms: (lead) =>
      openRooms({
        leaseMs: DEFAULT_LEASE_MS,
        ...options,
        openEngine: (ended) => options.openEngine(lead, ended),
        inbox: lead.inbox,
        metrics,
        health,
        servers: () => roster.views(),
        onOwnPool: () => {},
        endOwn: doors.endOwn,
      }),
    now: () => time.now(),
    after: (ms, run) => clock.after(ms, run),
    log,
    exit,
  });
  switchboard.start();
  const stopParts = { ...options, doors, switchboard, member };
  try {
    checkReach(await member.start(), roster.self);
  } catch (error) {
    await stopCluster(stopParts, 0);
    throw error;
  }
  doors.start();
  let stopped: Promise<void> | undefined;
  return {
    address: doors.address,
    roster,
    workersStarted: doors.poolLoaded,
    stop(graceMs, drainDelayMs = 0) {
      return stopped ??= drainFirst(stopParts, drainDelayMs)
        .then(() => stopCluster(stopParts, graceMs));
    },
  };
}

/** Listens. If that cannot be, the store is closed again. */
async function openDoors(
  options: ClusterServerOptions,
  parts: Pick<ConstructorParameters<typeof Doors>[0], "metrics" | "health" | "behind">,
): Promise<Doors> {
  try {
    checkAdvertised(options.config.hostname, options.advertise);
    return new Doors({ ...options, ...parts, reconnect: true });
  } catch (error) {
    await options.store.close();
    throw error;
  }
}

interface StopParts extends ClusterServerOptions {
  readonly doors: Doors;
  readonly switchboard: Switchboard;
  readonly member: Member;
}

/** Load balancers hear that this server drains; it serves as before for `ms`. */
async function drainFirst({ member, clock }: StopParts, ms: number): Promise<void> {
  member.drain();
  if (ms > 0) await new Promise<void>((resolve) => void clock.after(ms, resolve));
}

/** Resigns, relays what is left for `graceMs`, and closes everything. */
async function stopCluster(
  { member, doors, switchboard, store, clock }: StopParts,
  graceMs: number,
): Promise<void> {
  const deadline = clock.awake() + graceMs;
  member.drain();
  await member.resign(graceMs, doors.stopWorkers);
  // The servers that stay go on with what is relayed; alone there is no server to relay to.
  const hasOthers = member.others.length > 0;
  await doors.stopWorkers(Math.max(0, deadline - clock.awake()));
  while (hasOthers && !switchboard.isIdle && clock.awake() < deadline) {
    await new Promise<void>((resolve) => void clock.after(STOP_LOOK_MS, resolve));
  }
  const accepting = doors.stopAccepting();
  switchboard.close();
  await member.leave();
  await accepting;
  await doors.close();
  await store.close();
}

function infoOf(
  { config, advertise, name, machine, version, clock }: ClusterServerOptions,
  { id, doors }: { id: string; doors: Doors },
): Omit<ServerInfo, "isDraining"> {
  const address = advertise === undefined
    ? formatTarget(doors.address)
    : formatTarget(parseTarget(advertise, "--advertise"));
  return {
    id,
    name: name ?? `${machine}:${doors.address.port}`,
    machine,
    address,
    version,
    pid: Deno.pid,
    startedAt: clock.wall(),
    ...certificateOf(config),
  };
}

/** The fingerprint of the certificate, so that other servers know the port by it: a name would not do for an address. */
function certificateOf({ tls }: ServeConfig): { certificate?: string } {
  if (!tls) return {};
  const { fingerprint256 } = new X509Certificate(tls.cert);
  return { certificate: fingerprint256.replaceAll(":", "").toLowerCase() };
}

/** Throws a usage error if no other server could reach this one at its own address. */
function checkAdvertised(hostname: string, advertise: string | undefined): void {
  if (advertise !== undefined || !/^(0\.0\.0\.0|\[?::\]?)$/.test(hostname)) return;
  throw new ClientError(
    "usage",
    `the other servers of the cluster must reach this one, and ${hostname} is every address of this machine`,
    { hint: "name the one that they can reach: --advertise HOST:PORT" },
  );
}

/** Throws a usage error if servers on other machines cannot reach this one. */
function checkReach({ servers }: ClusterView, self: string): void {
  const own = servers.find(({ id }) => id === self);
  const far = own && servers.find(({ machine }) => machine !== own.machine);
  if (!far || !isLoopback(parseTarget(own.address).hostname)) return;
  throw new ClientError(
    "usage",
    `the cluster has a server on ${
      quote(far.machine)
    }, which cannot reach this one at ${own.address}`,
    {
      hint:
        "listen on another address (--host), or name one that others reach: --advertise HOST:PORT",
    },
  );
}
