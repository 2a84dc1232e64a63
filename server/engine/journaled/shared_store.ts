/**
 * The seam between the servers of a cluster and the store that they share, PostgreSQL or Redis. One server leads: it runs
 * the engine and decides everything in memory. The store is the truth and the referee: it names the leader, keeps the rows,
 * and refuses every write of a server whose lead is over. All other servers pass their connections on to the leader and
 * take over when it is gone. `server/cluster/` uses this seam; `server/engine/postgres/` and `server/engine/redis/` are
 * its two sides.
 *
 * A lead is a lease by the clock of the store, of `LEASE_MS`. Its holder renews it every `RENEW_MS`. It counts the time from
 * before it sent the last renewal that succeeded, and stops deciding `SAFETY_MS` before the lease ends. Its token
 * (the epoch) is what makes a write safe; the lease only decides when another server may lead.
 */

import type { Opened, RecordSweeper, TaskStore } from "./task_store.ts";

/** How long a lead lasts after a renewal, in ms on the clock of the store. */
export const LEASE_MS = 5000;
/** Time between two renewals, in ms. */
export const RENEW_MS = 1000;
/** A leader steps down this long before its lease ends, in ms. */
export const SAFETY_MS = 1000;
/** Time between two beats of a server, in ms: a new leader is seen that fast. */
export const BEAT_MS = 250;

/** A server of a cluster, as it describes itself. */
export interface ServerInfo {
  /** A UUID, new at each start. */
  readonly id: string;
  /** For people: `--name`, or the name of the machine with the port. */
  readonly name: string;
  /** The name of the machine. */
  readonly machine: string;
  /** Where the other servers reach its port: `HOST:PORT`. */
  readonly address: string;
  readonly version: string;
  readonly pid: number;
  /** In ms since 1970. */
  readonly startedAt: number;
  /** It is stopping, and will not lead. */
  readonly isDraining: boolean;
  /** SHA-256 of the certificate of its port, in hex; no such member: it speaks no TLS. A store keeps every member. */
  readonly certificate?: string;
}

/** The servers of a cluster, as the store sees them at one moment. */
export interface ClusterView {
  /** All whose last beat is younger than `LEASE_MS`, in no order. */
  readonly servers: readonly ServerInfo[];
  /** The server whose lease has not run out; `undefined` while none leads. */
  readonly leader:
    | { readonly id: string; readonly address: string; readonly epoch: number }
    | undefined;
  /** The clock of the store, in ms since 1970, to compare with one's own. */
  readonly now: number;
}

/** A line that a client has put into the store itself, in its own transaction. */
export interface InboxRow {
  readonly n: number;
  /** The id of its task. */
  readonly id: string;
  /** The submit, in JSON. */
  readonly line: string;
}

/** The lead of this server, from the moment it was won. */
export interface Lead {
  /** Larger than that of every lead before it. */
  readonly epoch: number;
  /** Writes under this lead alone; see `TaskStore.lost`. */
  readonly store: TaskStore;
  readonly opened: Opened;
  readonly sweeper: RecordSweeper;
  /** Submits that came by the store; only a store that clients can write to has them. */
  readonly inbox?: {
    /** The oldest rows, at most `limit`. */
    read(limit: number): Promise<InboxRow[]>;
    /** Drops rows whose tasks are committed. */
    done(ns: readonly number[]): Promise<void>;
    /**
     * Sets rows aside that can never be tasks, with the reason of each, for people to see; they are not read again. The
     * store drops them after some days.
     */
    refuse(rows: readonly (readonly [n: number, reason: string])[]): Promise<void>;
  };
  /** Extends the lease to `LEASE_MS` from now; false if another server leads. It has a connection and a deadline of its own. */
  renew(): Promise<boolean>;
  /** Ends the lead; another server can lead at once. Close `store` before. */
  resign(): Promise<void>;
}

/** A store that several servers share. */
export interface SharedStore {
  readonly name: "postgres" | "redis";
  /** Known to all programs that may use the store: it proves to servers and worker processes that they belong together. */
  readonly secret: string;
  /** Announces this server, and resolves with the servers that are there. Rejects with a `StoreError` after `BEAT_MS` × 8 at the latest. */
  beat(self: ServerInfo): Promise<ClusterView>;
  /**
   * Waits until no server leads, then takes the lead. `waitMs`: how much longer than the end of a lease to wait, so that the
   * server that led before an outage of the store leads again. Rejects once `signal` is aborted; tries again after any
   * fault of the store.
   */
  campaign(
    self: ServerInfo,
    options: { readonly signal: AbortSignal; readonly waitMs: () => number },
  ): Promise<Lead>;
  /** Takes this server out of the view. */
  leave(self: ServerInfo): Promise<void>;
  close(): Promise<void>;
}
