/**
 * Notices a server that is gone without a word: behind a proxy or a NAT that swallows everything a
 * connection looks as it does while a task runs. It pings when the connection has been quiet, and gives
 * it up when nothing at all has come for three times as long. Only time in which this process was awake
 * counts, so that one that was stopped does not blame the server.
 */

import { AwakeClock } from "../../net/awake_clock.ts";

export interface PulseOptions {
  /** How long the connection may be quiet before it is pinged, in ms. */
  readonly pingMs: number;
  /** Sends a ping. */
  readonly ping: () => void;
  /** Nothing has come for `ms`. */
  readonly lost: (ms: number) => void;
}

/** Looks in each `pingMs`; a ping is late by one at most. */
const LOOKS = 3;
/** A server is given up after this many `pingMs` of silence: an answer would have come. */
const PATIENCE = 3;

export class Pulse {
  readonly #options: PulseOptions;
  readonly #awake: AwakeClock;
  readonly #timer: ReturnType<typeof setInterval>;
  /** How long nothing has come. */
  #silentMs = 0;
  /** How long ago the last ping was. */
  #pingedMs = Infinity;

  /** The first ping is sent at the first look, and tells the server that others will come. */
  constructor(options: PulseOptions) {
    this.#options = options;
    const lookMs = options.pingMs / LOOKS;
    this.#awake = new AwakeClock({ stepMs: 2 * lookMs });
    this.#timer = setInterval(() => this.#look(), lookMs);
  }

  /** Something has come. */
  heard(): void {
    this.#silentMs = 0;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { pingMs, ping, lost } = this.#options;
    const awakeMs = this.#awake.passed();
    this.#silentMs += awakeMs;
    this.#pingedMs += awakeMs;
    if (this.#silentMs >= PATIENCE * pingMs) return lost(this.#silentMs);
    // Also while much comes in: the server counts what it hears.
    if (this.#pingedMs < pingMs) return;
    this.#pingedMs = 0;
    ping();
  }
}
