/**
 * Stands behind the door of a server of a cluster. While this server leads, connections go to its own reception; otherwise
 * they are relayed to the leader, and held for a while if there is none. Worker processes and clients of any release can so
 * come to any server. It answers `health` and `ping` itself as long as nothing else has come.
 *
 * A lead can be over before anything has noticed: the process was stopped, or the store could not be reached. So bytes pass
 * between a client and the reception only while the lead is held. Nothing is read, answered or started after that.
 */

import { closeQuietly, logUnlessLost } from "../../net/lost_connection.ts";
import type { Wire } from "../../net/wire.ts";
import { SdError } from "../../protocol/errors.ts";
import { parseObject, readRef } from "../../protocol/message.ts";
import type { ServerHealth } from "../../protocol/task.ts";
import { formatDuration } from "../../protocol/text_forms.ts";
import { isLoopback } from "../../net/target.ts";
import { RETRY_AFTER_MS, type ServerLimits } from "../limits.ts";
import type { Log } from "../log.ts";
import type { Arrival, WireServer } from "../tcp/reception.ts";
import { errorLine, objectLine } from "../tcp/socket/replies.ts";
import { Sweeper } from "../tcp/socket/sweeper.ts";
import { PeekedWire, writeAll } from "./first_line.ts";
import { askLeader, Relay } from "./relay.ts";
import { isRelayLine, RelayChecks } from "./relay_line.ts";
import type { Leader, Roster } from "./roster.ts";

/** Bytes of a first line that are looked at; a longer one is the matter of the leader. */
const MAX_PEEK_BYTES = 4096;
/**
 * How long a connection is held while no server leads, in ms: longer than a takeover, and shorter than a client waits for
 * its first reply, so that the client learns the reason.
 */
export const HOLD_MS = 9000;
/** Pause between two tries to reach the leader, in ms. */
const RETRY_MS = 50;
/** One of this many refused relay lines is logged. */
const FORGED_A_WARNING = 100;
/** Longest time without a byte either way after which a relay of a server that stops counts as idle, in ms. */
const IDLE_MS = 1000;

/** The lead of this server, and the reception that serves under it. */
export interface Leading {
  readonly epoch: number;
  readonly reception: WireServer;
  /** Whether the lead is held at this moment. */
  isHeld(): boolean;
}

interface SwitchboardOptions {
  readonly roster: Roster;
  readonly secret: string;
  /** Clients must say hello with a token first, so only `health` is answered before it. */
  readonly hasTokens: boolean;
  readonly health: () => ServerHealth;
  /** Asks the store at once for the leader. */
  readonly look: () => void;
  readonly limits: ServerLimits;
  readonly log: Log;
}

export class Switchboard implements WireServer {
  readonly #options: SwitchboardOptions;
  readonly #checks: RelayChecks;
  readonly #relays = new Set<Relay>();
  readonly #sweeper: Sweeper;
  /** Connections that are held or looked at. */
  readonly #waiting = new Set<Wire>();
  /** Connections that the reception of this server has. */
  readonly #guarded = new Set<GuardedWire>();
  readonly #forget: () => void;
  #leading: Leading | undefined;
  #isClosed = false;
  /** Why the leader could not be reached, at the last try. */
  #unreachable: string | undefined;
  /** The epoch of the leader that the log calls unreachable. */
  #warnedOf = 0;
  /** Number of relay lines that were refused. */
  #forged = 0;
  /** Resolves at the next change of the leader. */
  #changed = Promise.withResolvers<void>();

  constructor(options: SwitchboardOptions) {
    this.#options = options;
    this.#checks = new RelayChecks(options.secret);
    this.#sweeper = new Sweeper(this.#relays, options.limits);
    this.#forget = options.roster.watch(() => this.#turn());
  }

  start(): void {
    this.#sweeper.start();
  }

  /** This server leads: connections go to its reception from now on. */
  lead(leading: Leading): void {
    this.#leading = leading;
    this.#options.roster.lead({ epoch: leading.epoch });
  }

  /** The lead is over: cuts every connection of the reception. */
  follow(): void {
    this.#leading = undefined;
    for (const wire of [...this.#guarded]) wire.close();
    this.#options.roster.lead(undefined);
  }

  /** Whether all relays have been silent for a moment, so that no client loses an answer when they are cut. */
  get isIdle(): boolean {
    const { now } = this.#sweeper;
    return [...this.#relays].every(({ movedAt }) => now - movedAt > IDLE_MS);
  }

  /** Cuts what is held, relayed or served. */
  close(): void {
    this.#isClosed = true;
    this.#forget();
    for (const wire of [...this.#waiting, ...this.#guarded]) closeQuietly(wire);
    for (const relay of [...this.#relays]) relay.cut();
    this.#changed.resolve();
    this.#sweeper.stop();
  }

  async serve(conn: Wire, arrival: Arrival): Promise<void> {
    const wire = new PeekedWire(conn);
    this.#waiting.add(wire);
    try {
      const line = await this.#firstLine(wire, arrival);
      if (line === undefined) return closeQuietly(wire);
      if (isRelayLine(line) && !arrival.ownWorkersOnly) {
        return await this.#takeRelayed(wire, arrival, line);
      }
      if (arrival.ownWorkersOnly && !line.startsWith('{"cmd":"work"')) return closeQuietly(wire);
      await this.#pass(wire, arrival);
    } catch (error) {
      logUnlessLost(error, this.#options.log);
      closeQuietly(wire);
    } finally {
      this.#waiting.delete(wire);
      arrival.ended();
    }
  }

  /** Another server leads, or this one: relays to any other end. */
  #turn(): void {
    for (const relay of [...this.#relays]) relay.cut();
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** The first line that this server does not answer itself; `undefined` if none came in time. */
  async #firstLine(wire: PeekedWire, arrival: Arrival): Promise<string | undefined> {
    const { hasTokens, limits } = this.#options;
    const ms = hasTokens && !arrival.ownWorkersOnly ? limits.helloMs : limits.firstLineMs;
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      const late = `no message came within ${formatDuration(ms)}`;
      void this.#refuse(wire, new SdError("bad_request", late));
    }, ms);
    try {
      for (;;) {
        const line = await wire.peekLine(MAX_PEEK_BYTES);
        if (line === undefined || isLate) return undefined;
        // The reception of the leader answers by itself.
        if (this.#leading) return line;
        const answer = line === "" ? "" : this.#answer(line);
        if (answer === undefined) return line;
        wire.dropLine();
        if (answer !== "") await writeAll(wire, new TextEncoder().encode(answer));
        if (line !== "") arrival.counts?.(false);
      }
    } finally {
      clearTimeout(timer);
      arrival.counts?.(true);
    }
  }

  /** The answer to `health`, and to `ping` of clients that need no token; `undefined` for any other line. */
  #answer(line: string): string | undefined {
    if (!line.includes('"health"') && !line.includes('"ping"')) return undefined;
    const { health, hasTokens } = this.#options;
    try {
      const message = parseObject(line);
      const ref = readRef(message);
      if (message.cmd === "health") return objectLine(health(), ref);
      // The leader cuts a client that announces pings and sends none, so it must see the announcement.
      const isPing = message.cmd === "ping" && message.every === undefined;
      return isPing && !hasTokens ? objectLine({ pong: true }, ref) : undefined;
    } catch (error) {
      if (error instanceof SdError) return undefined;
      throw error;
    }
  }

  /** A connection of another server: it has a client, and believes that this server leads. */
  async #takeRelayed(wire: PeekedWire, arrival: Arrival, line: string): Promise<void> {
    const { roster, log } = this.#options;
    const claim = this.#checks.check(line, roster.storeNow);
    wire.dropLine();
    if (!claim) {
      if (this.#forged++ % FORGED_A_WARNING === 0) {
        log.warn("security", `${arrival.address} has sent a relay line that no server has made`);
      }
      const reason = "this relay line is not from a server of this cluster";
      return await this.#refuse(wire, new SdError("unauthorized", reason));
    }
    const leading = this.#leading;
    const write = (answer: object) =>
      writeAll(wire, new TextEncoder().encode(JSON.stringify(answer) + "\n"));
    if (!leading?.isHeld() || leading.epoch !== claim.epoch) {
      await write({ relay: "wrong", epoch: roster.epoch, leader: roster.leader?.address });
      return closeQuietly(wire);
    }
    await write({ relay: "ok" });
    // A client on the machine of its server is no client of this machine.
    const address = isLoopback(claim.peer) ? arrival.address : claim.peer;
    await this.#serveHere(wire, { ...arrival, address }, leading);
  }

  /** Serves a connection here or by the leader, as soon as there is one. */
  async #pass(wire: PeekedWire, arrival: Arrival): Promise<void> {
    const until = performance.now() + HOLD_MS;
    this.#unreachable = undefined;
    while (!this.#isClosed && performance.now() < until) {
      if (this.#leading?.isHeld()) return await this.#serveHere(wire, arrival, this.#leading);
      const { leader } = this.#options.roster;
      if (leader && await this.#relay(wire, arrival, leader)) return;
      await this.#pause(leader ? RETRY_MS : until - performance.now());
    }
    if (!this.#isClosed) await this.#refuse(wire, this.#noLeader());
    closeQuietly(wire);
  }

  /** The reason why a connection was held and not served. */
  #noLeader(): SdError {
    const { roster: { leader }, log } = this.#options;
    const reason = leader === undefined
      ? "no server of the cluster leads now; the log of each says why"
      : `this server cannot reach the leader at ${leader.address}`;
    if (leader && leader.epoch !== this.#warnedOf) {
      this.#warnedOf = leader.epoch;
      log.warn("cluster", `${reason}: ${this.#unreachable}; see --advertise of that server`);
    }
    return new SdError("shutting_down", reason, { retryAfterMs: RETRY_AFTER_MS });
  }

  async #serveHere(wire: PeekedWire, arrival: Arrival, leading: Leading): Promise<void> {
    const guarded: GuardedWire = new GuardedWire(wire, leading, () => {
      this.#guarded.delete(guarded);
    });
    this.#guarded.add(guarded);
    this.#waiting.delete(wire);
    await leading.reception.serve(guarded, arrival);
  }

  /** Relays a connection to its end. False if the leader could not be reached, or leads no longer. */
  async #relay(wire: PeekedWire, arrival: Arrival, leader: Leader): Promise<boolean> {
    const { roster, secret, look, limits, log } = this.#options;
    const claim = { epoch: leader.epoch, peer: arrival.address, server: roster.self };
    const reply = await askLeader(leader, claim, { secret, at: roster.storeNow }).catch(
      (error: Error) => {
        // It is down, or its machine is; the roster will name another.
        this.#unreachable = error.message;
        return undefined;
      },
    );
    if (reply?.relay === "refused") {
      await this.#refuse(wire, `${reply.line}\n`);
      return true;
    }
    if (reply?.relay !== "ok") {
      look();
      return false;
    }
    const { up } = reply;
    if (this.#isClosed || roster.leader?.epoch !== leader.epoch) {
      closeQuietly(up);
      return false;
    }
    const relay = new Relay({ wire, up, clock: this.#sweeper, limits, log });
    this.#relays.add(relay);
    this.#waiting.delete(wire);
    await relay.run();
    this.#relays.delete(relay);
    return true;
  }

  /** Resolves after `ms`, or when the leader changes. */
  async #pause(ms: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const passed = new Promise<void>((resolve) => timer = setTimeout(resolve, Math.max(0, ms)));
    await Promise.race([passed, this.#changed.promise]);
    clearTimeout(timer);
  }

  /** Sends the reason, and closes the connection after a moment: the other side must be able to read it. */
  async #refuse(wire: PeekedWire, reason: SdError | string): Promise<void> {
    const timer = setTimeout(() => closeQuietly(wire), this.#options.limits.lingerMs);
    try {
      const line = typeof reason === "string" ? reason : errorLine(reason, undefined);
      await writeAll(wire, new TextEncoder().encode(line));
      await wire.closeWrite();
      const buffer = new Uint8Array(MAX_PEEK_BYTES);
      while (await wire.read(buffer) !== null);
    } catch (lost) {
      logUnlessLost(lost, this.#options.log);
    }
    clearTimeout(timer);
    closeQuietly(wire);
  }
}

/** A connection of the reception of this server. It passes bytes only while the lead is held. */
class GuardedWire implements Wire {
  readonly #wire: Wire;
  readonly #leading: Leading;
  readonly #onClosed: () => void;

  constructor(wire: Wire, leading: Leading, onClosed: () => void) {
    this.#wire = wire;
    this.#leading = leading;
    this.#onClosed = onClosed;
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    const count = await this.#wire.read(buffer);
    this.#check();
    return count;
  }

  async write(bytes: Uint8Array): Promise<number> {
    this.#check();
    return await this.#wire.write(bytes);
  }

  closeWrite(): Promise<void> {
    return this.#wire.closeWrite();
  }

  close(): void {
    this.#onClosed();
    this.#wire.close();
  }

  #check(): void {
    if (this.#leading.isHeld()) return;
    closeQuietly(this);
    throw new Deno.errors.ConnectionAborted("this server leads no longer");
  }
}
