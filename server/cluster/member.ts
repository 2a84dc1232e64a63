/**
 * This server as a member of its cluster: announces itself, sees the leader, campaigns, leads while it may, and steps down.
 * A step-down throws away what the lead had in memory; the process goes on as a follower. `cluster_server.ts` makes one.
 *
 *     follows ──campaign won, lease renewed, rooms opened──▶ leads
 *        ▲                                                     │
 *        ├──sessions cut, rooms dropped── lost, fenced, late ◀─┤
 *        └──rooms closed, all committed──────────── resigns ◀──┘
 *
 * Whether a server may decide is asked of its lease (`lease_keeper.ts`); whether a write counts is the matter of the store.
 */

import {
  BEAT_MS,
  type ClusterView,
  type Lead,
  type ServerInfo,
  type SharedStore,
} from "../engine/journaled/shared_store.ts";
import type { TaskStore } from "../engine/journaled/task_store.ts";
import type { Log } from "../log.ts";
import type { WireServer } from "../tcp/reception.ts";
import { faultText, LeaseKeeper } from "./lease_keeper.ts";
import type { Roster } from "./roster.ts";
import type { Leading } from "./switchboard.ts";

/** How much longer than the server that led the others wait after an outage of the store, in ms. */
const STANDBY_WAIT_MS = 1500;
/** An outage counts for this long after the store has answered again, in ms. */
const OUTAGE_MS = 5000;
/** Longest time of a step-down, in ms. After it the process ends, and its supervisor starts it again. */
const STEP_DOWN_MS = 15_000;
/** Exit code of a process whose step-down hangs: a temporary failure, as in `sysexits.h`. */
const EXIT_HUNG = 75;
/** Pause after a campaign or an opening that failed, in ms. */
const RETRY_MS = 500;
/** Least time between two beats, in ms. */
const MIN_BEAT_MS = 50;
/** Failed beats in a row after which one is logged. */
const FAILURES_A_WARNING = 4;

/** What is open while this server leads. */
interface LedRooms {
  readonly reception: WireServer;
  /** Starts the services. */
  start(): void;
  /** As in `Rooms`. */
  close(graceMs: number, stopWorkers: StopWorkers): Promise<void>;
  /** Throws everything away, and answers nothing more. */
  drop(): Promise<void>;
}

/** Stops the worker processes of this server; they finish what they run for at most `ms`. */
type StopWorkers = (ms: number) => Promise<void> | undefined;

interface MemberOptions {
  readonly store: Pick<SharedStore, "beat" | "campaign" | "leave">;
  readonly info: Omit<ServerInfo, "isDraining">;
  readonly roster: Roster;
  readonly switchboard: {
    lead(leading: Leading): void;
    follow(): void;
  };
  readonly openRooms: (lead: Lead) => Promise<LedRooms>;
  /** Time that has passed, also while the process was stopped; see `PassedTime`. */
  readonly now: () => number;
  /** Calls `run` once, `ms` from now; the returned function cancels it. */
  readonly after: (ms: number, run: () => void) => () => void;
  readonly log: Log;
  /** Ends the process at once. */
  readonly exit: (code: number) => void;
}

/** A lead of this server, from its first renewal on. */
interface Term {
  readonly lead: Lead;
  readonly keeper: LeaseKeeper;
  /** Resolves with the reason of its end. */
  readonly over: Promise<string>;
  readonly end: (reason: string) => void;
  /** Resolves with the reason if the lead is lost; not if it is resigned. */
  readonly lost: Promise<string>;
  rooms: LedRooms | undefined;
}

export class Member {
  readonly #options: MemberOptions;
  readonly #stopping = new AbortController();
  #isDraining = false;
  #term: Term | undefined;
  #running: Promise<void> | undefined;
  #beating: Promise<void> | undefined;
  #beatAt = -Infinity;
  #forgetBeat = () => {};
  #failedBeats = 0;
  /** When the store last did not answer. */
  #outageAt = -Infinity;
  /** This server led last, and no other has since. */
  #isIncumbent = false;
  #hasLeft = false;

  constructor(options: MemberOptions) {
    this.#options = options;
  }

  /** The servers of the cluster that do not stop, without this one. */
  get others(): readonly ServerInfo[] {
    const { roster, info } = this.#options;
    return roster.servers.filter(({ id, isDraining }) => id !== info.id && !isDraining);
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Makes the first beat, and campaigns from then on. Rejects if the store does not answer the beat. */
  async start(): Promise<ClusterView> {
    const view = await this.#options.store.beat(this.#self());
    this.#see(view);
    this.#planBeat(BEAT_MS);
    this.#running = this.#run();
    return view;
  }

  /** Makes a beat soon, because the leader that is known could not be reached. */
  look(): void {
    if (this.#beating) return;
    const sinceMs = this.#options.now() - this.#beatAt;
    this.#planBeat(Math.max(0, MIN_BEAT_MS - sinceMs));
  }

  /** Announces that this server stops: it does not lead any more once its present lead is over. */
  drain(): void {
    this.#isDraining = true;
    this.#stopping.abort();
    this.look();
  }

  /**
   * Ends the lead of this server, if it has one, with everything committed, so that another server leads at once. Running
   * tasks of a cluster of one finish before that, for at most `graceMs`. Call `drain` before.
   */
  async resign(graceMs: number, stopWorkers: StopWorkers): Promise<void> {
    const term = this.#term;
    if (term?.rooms && term.keeper.isHeld()) {
      // Other servers go on with what the worker processes run.
      if (this.others.length > 0) await term.rooms.close(0, () => undefined);
      else await term.rooms.close(graceMs, stopWorkers);
      term.rooms = undefined;
    }
    term?.end("it stops");
    await this.#running;
  }

  /** Takes this server out of the cluster. */
  async leave(): Promise<void> {
    this.#hasLeft = true;
    this.#forgetBeat();
    await this.#beating;
    await this.#options.store.leave(this.#self()).catch((error) => {
      // Its beats have ended, so the others see it go a few seconds later.
      this.#options.log.warn("cluster", `cannot leave the cluster: ${faultText(error)}`);
    });
  }

  #self(): ServerInfo {
    return { ...this.#options.info, isDraining: this.#isDraining };
  }

  #planBeat(ms: number): void {
    this.#forgetBeat();
    if (this.#hasLeft) return;
    this.#forgetBeat = this.#options.after(ms, () => {
      this.#beating = this.#beat().finally(() => {
        this.#beating = undefined;
        this.#planBeat(BEAT_MS);
      });
    });
  }

  async #beat(): Promise<void> {
    const { store, log, now } = this.#options;
    this.#beatAt = now();
    try {
      const view = await store.beat(this.#self());
      if (this.#failedBeats >= FAILURES_A_WARNING) log.info("cluster", "the store answers again");
      this.#failedBeats = 0;
      this.#see(view);
    } catch (error) {
      this.#outageAt = now();
      if (++this.#failedBeats === FAILURES_A_WARNING) {
        log.warn("cluster", `the store does not answer: ${faultText(error)}; trying again`);
      }
    }
  }

  #see(view: ClusterView): void {
    const { roster, info, log } = this.#options;
    const before = roster.leader?.epoch;
    roster.see(view);
    const { leader } = view;
    if (!leader || leader.id === info.id) return;
    const term = this.#term;
    if (term && leader.epoch > term.lead.epoch) this.#lose(term, "another server leads");
    this.#isIncumbent = false;
    if (roster.role === "follows" && roster.leader?.epoch !== before) {
      log.info("cluster", `follows ${nameOf(leader.id, view)} (${leader.address})`);
    }
  }

  /** Campaigns and leads, one term after the other, until `drain`. */
  async #run(): Promise<void> {
    const { store, log } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        const lead = await store.campaign(this.#self(), { signal, waitMs: () => this.#waitMs() });
        await this.#lead(lead);
      } catch (error) {
        if (signal.aborted) return;
        log.error("cluster", `cannot lead: ${faultText(error)}; trying again`);
        await this.#pause(RETRY_MS);
      }
    }
  }

  /** How much longer than the end of a lease this server waits for the one that led before it. */
  #waitMs(): number {
    const isAfterOutage = this.#options.now() - this.#outageAt < OUTAGE_MS;
    return isAfterOutage && !this.#isIncumbent ? STANDBY_WAIT_MS : 0;
  }

  /** A term, from its beginning to its end. */
  async #lead(lead: Lead): Promise<void> {
    const { switchboard, openRooms, log, info } = this.#options;
    const { signal } = this.#stopping;
    const term = this.#term = this.#newTerm(lead);
    void lead.store.lost?.then((reason) => this.#lose(term, reason));
    const leads = await term.keeper.start();
    // It may have begun to stop meanwhile.
    if (signal.aborted) term.end("it stops");
    if (!leads || signal.aborted) return await this.#stepDown(term, await term.over);
    let isOpen = false;
    try {
      const rooms = term.rooms = await openRooms({ ...lead, store: underTerm(term) });
      isOpen = true;
      if (signal.aborted) term.end("it stops");
      else if (term.keeper.isHeld()) {
        const isHeld = () => term.keeper.isHeld();
        switchboard.lead({ epoch: lead.epoch, reception: rooms.reception, isHeld });
        rooms.start();
        this.#isIncumbent = true;
        log.info("cluster", `${info.name} leads, epoch ${lead.epoch}`);
      }
    } catch (error) {
      log.error("cluster", `cannot open what the leader needs: ${faultText(error)}`);
      this.#lose(term, "it could not open its rooms");
    }
    await this.#stepDown(term, await term.over);
    // Another server may do better.
    if (!isOpen && !signal.aborted) await this.#pause(RETRY_MS);
  }

  #newTerm(lead: Lead): Term {
    const { now, after, log, switchboard } = this.#options;
    const over = Promise.withResolvers<string>();
    const lost = Promise.withResolvers<string>();
    const keeper = new LeaseKeeper({
      lead,
      now,
      after,
      onLost: (reason) => {
        // Before anything else: no client gets an answer of a server that does not lead.
        switchboard.follow();
        lost.resolve(reason);
        over.resolve(reason);
      },
      warn: (message) => {
        this.#outageAt = now();
        log.warn("cluster", message);
      },
    });
    const { promise, resolve } = over;
    return { lead, keeper, over: promise, end: resolve, lost: lost.promise, rooms: undefined };
  }

  #lose(term: Term, reason: string): void {
    term.keeper.end(reason);
  }

  /** Ends a term: nothing of it is left when it resolves. */
  async #stepDown(term: Term, reason: string): Promise<void> {
    const { switchboard, log, after, exit, now } = this.#options;
    const isResigning = term.keeper.isHeld();
    const forgetHung = after(STEP_DOWN_MS, () => {
      log.error("cluster", "the end of the lead hangs; the process ends, to be started again");
      exit(EXIT_HUNG);
    });
    const beganAt = now();
    term.keeper.stop();
    switchboard.follow();
    if (isResigning) log.info("cluster", `leads no longer: ${reason}`);
    else log.warn("cluster", `steps down: ${reason}`);
    await this.#settle("rooms", term.rooms?.drop());
    await this.#settle("store", term.lead.store.close());
    // Also after a lost lead: then it changes nothing in the store, and frees what the lead holds.
    await this.#settle("lead", term.lead.resign());
    this.#term = undefined;
    forgetHung();
    if (!isResigning) log.info("cluster", `follows after ${Math.round(now() - beganAt)} ms`);
  }

  /** Waits for the end of a part. A store that is away may refuse it. */
  async #settle(part: string, ending: Promise<void> | undefined): Promise<void> {
    try {
      await ending;
    } catch (error) {
      this.#options.log.warn("cluster", `the end of the ${part}: ${faultText(error)}`);
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#options.after(ms, resolve));
  }
}

/** The store of a term. It is lost as soon as the term is: the engine then answers nothing more. */
function underTerm({ lead: { store }, lost }: Term): TaskStore {
  return {
    lost: store.lost ? Promise.race([store.lost, lost]) : lost,
    call: (name, ask) => store.call(name, ask),
    close: () => store.close(),
  };
}

function nameOf(id: string, { servers }: ClusterView): string {
  return servers.find((server) => server.id === id)?.name ?? id;
}
