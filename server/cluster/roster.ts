/**
 * The servers of a cluster as this server last saw them, with their leader. The member writes it after each beat;
 * the relay, health and reads for operators look at it.
 */

import type { ServerView } from "../../protocol/task.ts";
import { formatTime } from "../../protocol/text_forms.ts";
import type { ClusterView, ServerInfo } from "../engine/journaled/shared_store.ts";

/** A server that leads, and how to reach it. */
export interface Leader {
  readonly id: string;
  /** `HOST:PORT`. */
  readonly address: string;
  readonly epoch: number;
  /** As in `ServerInfo`. */
  readonly certificate: string | undefined;
}

/** The lead of this server, as others see it. */
interface OwnLead {
  readonly epoch: number;
}

export class Roster {
  /** The id of this server. */
  readonly self: string;
  #view: ClusterView | undefined;
  #seenAt = 0;
  #leader: Leader | undefined;
  #lead: OwnLead | undefined;
  #epoch = 0;
  readonly #watchers = new Set<() => void>();
  readonly #now: () => number;

  /** `now`: a clock that never goes back, in ms. */
  constructor(self: string, now: () => number = () => performance.now()) {
    this.self = self;
    this.#now = now;
  }

  /** The servers that were there at the last beat. */
  get servers(): readonly ServerInfo[] {
    return this.#view?.servers ?? [];
  }

  /** The servers as `stats` shows them. */
  views(): ServerView[] {
    const leads = this.#lead ? this.self : this.#leader?.id;
    return this.servers.map((
      { id, startedAt, isDraining, name, address, machine, version, pid },
    ) => ({
      name,
      address,
      machine,
      version,
      pid,
      role: id === leads ? "leads" : "follows",
      started_at: formatTime(startedAt),
      ...(isDraining && { draining: true as const }),
    }));
  }

  /** The role of this server. */
  get role(): "leads" | "follows" {
    return this.#lead ? "leads" : "follows";
  }

  /** The other server that led when one was last seen; it may be gone. `undefined` if none was seen since this server led. */
  get leader(): Leader | undefined {
    return this.#leader;
  }

  /** The largest epoch that this server has seen; 0 before the first. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Time since the last beat that the store answered, in ms; `Infinity` before the first. */
  get ageMs(): number {
    return this.#view ? this.#now() - this.#seenAt : Infinity;
  }

  /** The present time by the clock of the store, in ms since 1970; by the clock of this machine before the first beat. */
  get storeNow(): number {
    return this.#view ? Math.round(this.#view.now + this.ageMs) : Date.now();
  }

  /** Takes what the store has answered. An answer that was overtaken by a later leader changes none. */
  see(view: ClusterView): void {
    this.#view = view;
    this.#seenAt = this.#now();
    const { leader } = view;
    // The lead that this server has just ended may still be seen.
    if (!leader || leader.epoch < this.#epoch || leader.id === this.self) return;
    // Only its own row says whether it speaks TLS. Without one, clients wait: their text must not go out in plain.
    const known = view.servers.find(({ id }) => id === leader.id) ??
      (leader.id === this.#leader?.id ? this.#leader : undefined);
    if (known) this.#point({ ...leader, certificate: known.certificate });
  }

  /** This server leads from now on, or no longer. */
  lead(lead: OwnLead | undefined): void {
    this.#lead = lead;
    if (lead) {
      this.#leader = undefined;
      this.#epoch = lead.epoch;
    }
    this.#publish();
  }

  /** Calls `changed` whenever there is another leader, until the returned function is called. */
  watch(changed: () => void): () => void {
    this.#watchers.add(changed);
    return () => this.#watchers.delete(changed);
  }

  #point(leader: Leader): void {
    const before = this.#leader;
    this.#leader = leader;
    this.#epoch = leader.epoch;
    const isSame = before?.epoch === leader.epoch && before.address === leader.address &&
      before.certificate === leader.certificate;
    if (!isSame) this.#publish();
  }

  #publish(): void {
    for (const changed of [...this.#watchers]) changed();
  }
}
