/**
 * Relays: connections that this server passes on to the leader of its cluster. Each is a connection of a client or a worker
 * process, and one of this server to the door of the leader; bytes go both ways as they are. A side that reads slowly holds
 * the other one up, and an end of one side ends the other. `switchboard.ts` makes them.
 *
 *     client ──▶ wire ──bytes──▶ up ──▶ leader
 *            ◀──      ◀─────────    ◀──
 */

import { closeQuietly, logUnlessLost } from "../../net/lost_connection.ts";
import { dialPinned } from "../../net/node_dial.ts";
import { parseTarget } from "../../net/target.ts";
import type { Wire } from "../../net/wire.ts";
import type { Log } from "../log.ts";
import type { ServerLimits } from "../limits.ts";
import type { Sweepable } from "../tcp/socket/sweeper.ts";
import { PeekedWire, writeAll } from "./first_line.ts";
import {
  MAX_RELAY_LINE_BYTES,
  readRelayAnswer,
  type RelayAnswer,
  type RelayClaim,
  relayLine,
} from "./relay_line.ts";
import type { Leader } from "./roster.ts";

/** Longest wait for a connection to the leader, and for its answer, in ms. */
const DIAL_MS = 2000;
/** The beginning of a refusal, which the door sends before it reads a line. */
const REFUSAL = '{"error":{"code":"queue_full"';
/** Size of a copy buffer at first: there can be thousands of relays. */
const FIRST_COPY_BYTES = 4 * 1024;
/** Size of a copy buffer once the first one was filled. */
const COPY_BYTES = 64 * 1024;

/** The reply of the leader. If it takes the connection: `up`, the way to it. */
type LeaderReply =
  | { readonly relay: "ok"; readonly up: Wire }
  | Exclude<RelayAnswer, { relay: "ok" }>
  /** It leads, but takes no connection now: a line for the client. */
  | { readonly relay: "refused"; readonly line: string };

/** Connects to the leader, and asks it to take a connection. Throws if it cannot be reached or does not answer. */
export async function askLeader(
  leader: Leader,
  claim: RelayClaim,
  { secret, at }: { secret: string; at: number },
): Promise<LeaderReply> {
  const late = new AbortController();
  let up: PeekedWire | undefined;
  const timer = setTimeout(() => {
    late.abort();
    if (up) closeQuietly(up);
  }, DIAL_MS);
  try {
    up = new PeekedWire(await dial(leader, late.signal));
    await writeAll(up, new TextEncoder().encode(relayLine(claim, { secret, at })));
    const line = await up.peekLine(MAX_RELAY_LINE_BYTES) ?? "";
    const answer = readRelayAnswer(line);
    if (answer?.relay === "ok") {
      up.dropLine();
      return { relay: "ok", up };
    }
    closeQuietly(up);
    if (answer) return answer;
    if (line.startsWith(REFUSAL)) return { relay: "refused", line };
    throw new Error("it does not answer as a server of this cluster");
  } catch (error) {
    if (up) closeQuietly(up);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function dial({ address, certificate }: Leader, signal: AbortSignal): Promise<Wire> {
  const { hostname, port } = parseTarget(address, "the roster of the cluster");
  if (certificate !== undefined) return await dialPinned({ hostname, port, certificate }, signal);
  const conn = await Deno.connect({ hostname, port, signal });
  conn.setNoDelay(true);
  // A task can take hours without a byte: a machine that vanishes must still be noticed.
  conn.setKeepAlive(true);
  return conn;
}

interface RelayOptions {
  /** The connection of the client. */
  readonly wire: Wire;
  /** The connection to the leader. */
  readonly up: Wire;
  /** The coarse clock of the sweeper. */
  readonly clock: { readonly now: number };
  readonly limits: Pick<ServerLimits, "writeStallMs" | "lingerMs">;
  readonly log: Pick<Log, "bug">;
}

export class Relay implements Sweepable {
  readonly #options: RelayOptions;
  /** Since when a write has waited for the client, and for the leader; 0 if none waits. */
  #stalled = { wire: 0, up: 0 };
  /** When the leader had ended its side and the client had got all of it; 0 before. */
  #upEndedAt = 0;
  #movedAt: number;
  #isCut = false;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#movedAt = options.clock.now;
  }

  /** 0: what waits is in the buffers of the system, and in one of this side, whose size is bounded. */
  get unread(): number {
    return 0;
  }

  /** When bytes last went either way, by the clock of the sweeper. */
  get movedAt(): number {
    return this.#movedAt;
  }

  /** Copies until both sides have ended, or one is lost. Never rejects. */
  async run(): Promise<void> {
    const { wire, up } = this.#options;
    await Promise.all([
      this.#copy(wire, up, "up"),
      this.#copy(up, wire, "wire").then(() => this.#upEndedAt = this.#options.clock.now),
    ]);
    this.cut();
  }

  sweep(): void {
    const { clock: { now }, limits } = this.#options;
    const isOver = (since: number, ms: number) => since > 0 && now - since > ms;
    const { wire, up } = this.#stalled;
    if (isOver(wire, limits.writeStallMs) || isOver(up, limits.writeStallMs)) this.cut();
    // The client has had the time to read the last bytes.
    if (isOver(this.#upEndedAt, limits.lingerMs)) this.cut();
  }

  cut(): void {
    this.#isCut = true;
    closeQuietly(this.#options.wire);
    closeQuietly(this.#options.up);
  }

  async #copy(from: Wire, to: Wire, name: "wire" | "up"): Promise<void> {
    const { clock, log } = this.#options;
    let buffer = new Uint8Array(FIRST_COPY_BYTES);
    try {
      for (let count = await from.read(buffer); count !== null; count = await from.read(buffer)) {
        this.#movedAt = clock.now;
        for (let at = 0; at < count;) {
          this.#stalled[name] = clock.now;
          at += await to.write(buffer.subarray(at, count));
        }
        this.#stalled[name] = 0;
        if (count === buffer.length && count < COPY_BYTES) buffer = new Uint8Array(COPY_BYTES);
      }
      await to.closeWrite();
    } catch (error) {
      if (!this.#isCut) logUnlessLost(error, log);
      // One side is lost, so the other ends too.
      this.cut();
    }
  }
}
