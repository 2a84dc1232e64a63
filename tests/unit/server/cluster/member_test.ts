/** Claims about a member of a cluster: its role after each order of events. */

import { assertEquals } from "@std/assert";
import { Member } from "../../../../server/cluster/member.ts";
import { Roster } from "../../../../server/cluster/roster.ts";
import {
  BEAT_MS,
  type ClusterView,
  type Lead,
  LEASE_MS,
  type ServerInfo,
} from "../../../../server/engine/journaled/shared_store.ts";
import { HandClock } from "../../../kit/hand_clock.ts";

const info = (id: string): Omit<ServerInfo, "isDraining"> => ({
  id,
  name: id,
  machine: "here",
  address: `${id}:5000`,
  version: "1",
  pid: 1,
  startedAt: 0,
});

/** A member with a store that does as the test says. */
class MemberStage {
  readonly clock = new HandClock(1_000_000);
  readonly events: string[] = [];
  readonly waits: number[] = [];
  readonly roster = new Roster("me", () => this.clock.now());
  view: ClusterView = { servers: [], leader: undefined, now: 0 };
  /** The store does not answer. */
  isAway = false;
  /** The end of the rooms never comes. */
  dropHangs = false;
  openFails = false;
  isRenewed = true;
  /** A renewal is answered after it. */
  renewal: Promise<void> | undefined;
  /** The rooms are open after it. */
  opening: Promise<void> | undefined;
  #campaign: ((lead: Lead) => void) | undefined;
  #lost = Promise.withResolvers<string>();
  #isHeld = () => false;
  readonly member: Member;

  constructor() {
    const { clock, events } = this;
    const note = (event: string) => () => {
      events.push(event);
      return Promise.resolve();
    };
    this.member = new Member({
      store: {
        beat: (self) => {
          if (this.isAway) return Promise.reject(new Error("away"));
          const me = { ...self };
          const others = this.view.servers.filter(({ id }) => id !== self.id);
          return Promise.resolve({ ...this.view, servers: [...others, me] });
        },
        campaign: (_self, { signal, waitMs }) =>
          new Promise((resolve, reject) => {
            this.waits.push(waitMs());
            this.#campaign = (lead) => {
              this.waits.push(waitMs());
              resolve(lead);
            };
            signal.addEventListener("abort", () => reject(signal.reason));
          }),
        leave: note("leave"),
      },
      info: info("me"),
      roster: this.roster,
      switchboard: {
        lead: ({ epoch, isHeld }) => {
          events.push(`lead ${epoch}`);
          this.#isHeld = isHeld;
          this.roster.lead({ epoch });
        },
        follow: () => {
          if (this.roster.role === "leads") events.push("cut");
          this.roster.lead(undefined);
        },
      },
      openRooms: async () => {
        if (this.openFails) throw new Error("no room");
        await this.opening;
        events.push("open");
        return {
          reception: { serve: () => Promise.resolve() },
          start: note("start"),
          close: (graceMs) => {
            events.push(`close ${graceMs}`);
            return Promise.resolve();
          },
          drop: () => this.dropHangs ? new Promise(() => {}) : note("drop")(),
        };
      },
      now: () => clock.now(),
      after: (ms, run) => clock.after(ms, run),
      log: { info() {}, warn() {}, error() {}, bug: (_, error) => events.push(`BUG ${error}`) },
      exit: (code) => events.push(`exit ${code}`),
    });
  }

  get isHeld(): boolean {
    return this.#isHeld();
  }

  /** The store gives this server the lead. */
  async win(epoch: number): Promise<void> {
    const { events } = this;
    this.#lost = Promise.withResolvers();
    this.#campaign?.({
      epoch,
      store: {
        lost: this.#lost.promise,
        call: () => Promise.reject(new Error("not used")),
        close: () => (events.push("close store"), Promise.resolve()),
      },
      opened: { next: 1, lanes: [], settings: [], counts: [], queuedOps: [] },
      sweeper: { isFull: false, sweep: () => Promise.reject(new Error("not used")) },
      renew: async () => {
        if (this.isAway) throw new Error("away");
        await this.renewal;
        return this.isRenewed;
      },
      resign: () => (events.push("resign"), Promise.resolve()),
    });
    await this.clock.pass(0);
  }

  fence(): void {
    this.#lost.resolve("another server leads");
  }

  take(): string[] {
    return this.events.splice(0);
  }
}

const OPENED = ["open", "start"];

async function leading(epoch = 1): Promise<MemberStage> {
  const stage = new MemberStage();
  await stage.member.start();
  await stage.win(epoch);
  assertEquals(stage.take().filter((event) => !event.startsWith("lead")), OPENED);
  return stage;
}

const STEPPED_DOWN = ["cut", "drop", "close store", "resign"];

Deno.test("a fenced leader cuts its sessions first, throws all away, and campaigns again", async () => {
  const stage = await leading(7);
  stage.fence();
  await stage.clock.pass(0);
  assertEquals(stage.take(), STEPPED_DOWN);
  assertEquals(stage.roster.role, "follows");
  await stage.win(9);
  assertEquals(stage.take(), ["open", "lead 9", "start"]);
});

Deno.test("a leader without a store steps down at its deadline, and leads again first", async () => {
  const stage = await leading();
  stage.isAway = true;
  await stage.clock.pass(LEASE_MS);
  assertEquals(stage.take(), STEPPED_DOWN);
  stage.isAway = false;
  await stage.clock.pass(2 * BEAT_MS);
  assertEquals(stage.waits.at(-1), 0);
  await stage.win(2);
  assertEquals([stage.roster.role, stage.waits.at(-1)], ["leads", 0]);
});

Deno.test("after an outage of the store a standby waits for the server that led", async () => {
  const stage = new MemberStage();
  const leader = { id: "b", address: "b:5000", epoch: 3 };
  stage.view = { servers: [{ ...info("b"), isDraining: false }], leader, now: 0 };
  await stage.member.start();
  assertEquals(stage.waits, [0]);
  stage.isAway = true;
  await stage.clock.pass(1000);
  stage.isAway = false;
  await stage.clock.pass(1000);
  await stage.win(4);
  assertEquals(stage.waits, [0, 1500]);
});

Deno.test("a leader that sees a later one in the view steps down, whatever its renewals say", async () => {
  const stage = await leading(3);
  const servers = [{ ...info("b"), isDraining: false }];
  stage.view = { servers, leader: { id: "b", address: "b:5000", epoch: 4 }, now: 0 };
  await stage.clock.pass(BEAT_MS);
  assertEquals(stage.take(), STEPPED_DOWN);
  assertEquals(stage.roster.leader?.address, "b:5000");
});

Deno.test("a renewal that is refused ends the lead", async () => {
  const stage = await leading();
  stage.isRenewed = false;
  await stage.clock.pass(2000);
  assertEquals(stage.take(), STEPPED_DOWN);
});

Deno.test("a lead that was lost before its first renewal opens nothing", async () => {
  const stage = new MemberStage();
  await stage.member.start();
  stage.isRenewed = false;
  await stage.win(1);
  assertEquals(stage.take(), ["close store", "resign"]);
  assertEquals(stage.roster.role, "follows");
});

Deno.test("rooms that do not open give the lead back, and the next campaign comes after a pause", async () => {
  const stage = new MemberStage();
  stage.openFails = true;
  await stage.member.start();
  await stage.win(1);
  await stage.clock.pass(1000);
  assertEquals(stage.take(), ["close store", "resign"]);
  stage.openFails = false;
  await stage.win(2);
  assertEquals(stage.roster.role, "leads");
});

Deno.test("a step-down that hangs ends the process", async () => {
  const stage = await leading();
  stage.dropHangs = true;
  stage.fence();
  await stage.clock.pass(30_000);
  assertEquals(stage.take(), ["cut", "exit 75"]);
});

Deno.test("a server that stops hands the lead over at once if others are there, else it lets tasks finish", async () => {
  for (const hasOther of [true, false]) {
    const stage = await leading();
    if (hasOther) {
      stage.view = { ...stage.view, servers: [{ ...info("b"), isDraining: false }] };
    }
    await stage.clock.pass(BEAT_MS);
    stage.member.drain();
    assertEquals([stage.member.isDraining, stage.isHeld], [true, true]);
    await stage.member.resign(5000, () => undefined);
    await stage.member.leave();
    const close = hasOther ? "close 0" : "close 5000";
    assertEquals(stage.take(), [close, "cut", "close store", "resign", "leave"]);
    await stage.clock.pass(10_000);
    assertEquals(stage.clock.timers, 0);
  }
});

Deno.test("a server that stops while it campaigns never leads", async () => {
  const stage = new MemberStage();
  await stage.member.start();
  stage.member.drain();
  await stage.member.resign(0, () => undefined);
  await stage.member.leave();
  assertEquals(stage.take(), ["leave"]);
});

Deno.test("a server that stops while it takes the lead gives it back, and never leads", async () => {
  for (const step of ["renewal", "opening"] as const) {
    const stage = new MemberStage();
    const answered = Promise.withResolvers<void>();
    stage[step] = answered.promise;
    await stage.member.start();
    await stage.win(1);
    stage.member.drain();
    const resigned = stage.member.resign(0, () => undefined);
    answered.resolve();
    await stage.clock.pass(0);
    await resigned;
    await stage.member.leave();
    const ended = ["close store", "resign", "leave"];
    assertEquals(stage.take(), step === "renewal" ? ended : ["open", "drop", ...ended]);
  }
});
