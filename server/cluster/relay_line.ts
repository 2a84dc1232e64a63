/**
 * The first line of a connection that one server passes on to another, and its answer. The line proves that its sender
 * knows the secret of the cluster: the secret itself is never sent.
 *
 *     follower → leader   {"cmd":"relay","epoch":7,"peer":"10.0.0.9","server":"<id>","at":ms,"nonce":"…","mac":"…"}
 *     leader → follower   {"relay":"ok"}   or   {"relay":"wrong","epoch":8,"leader":"10.0.0.2:5000"}
 *
 * After `ok` the connection is that of the client `peer`, from its first byte on. `mac` is HMAC-SHA-256 of the other members
 * by the secret. `at` is the time by the clock of the store, so the clocks of machines need not agree. A line is good once
 * and for `FRESH_MS`. To add a member: sign it too, and let `check` take lines without it for a release.
 */

import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";

/** Age of a relay line above which it is refused, and how far it may be ahead, in ms on the clock of the store. */
const FRESH_MS = 30_000;
/** Longest relay line, in bytes. */
export const MAX_RELAY_LINE_BYTES = 1024;
const NONCE_BYTES = 16;
const MAX_PEER_CHARS = 64;

/** The contents of a relay line. */
export interface RelayClaim {
  /** The epoch of the leader that it is for. */
  readonly epoch: number;
  /** The IP address of the client. */
  readonly peer: string;
  /** The id of the server that passes the connection on. */
  readonly server: string;
}

/** The answer to a relay line. */
export type RelayAnswer =
  | { readonly relay: "ok" }
  | {
    readonly relay: "wrong";
    /** The latest epoch that the server knows, and the address of its leader, if there is one. */
    readonly epoch: number;
    readonly leader: string | undefined;
  };

/** A relay line, with its newline. `at`: the present time by the clock of the store. */
export function relayLine(claim: RelayClaim, { secret, at }: { secret: string; at: number }) {
  const signed = { ...claim, at, nonce: randomBytes(NONCE_BYTES).toString("hex") };
  return JSON.stringify({ cmd: "relay", ...signed, mac: macOf(signed, secret) }) + "\n";
}

/** Whether a first line asks to be relayed. It can still be a forgery. */
export function isRelayLine(line: string): boolean {
  return line.startsWith('{"cmd":"relay",');
}

/** Checks relay lines: each is good once. */
export class RelayChecks {
  readonly #secret: string;
  /** The nonces of good lines, by when they can be forgotten. */
  readonly #used = new Map<string, number>();

  constructor(secret: string) {
    this.#secret = secret;
  }

  /** The claim of a line; `undefined` if it is not from a server of the cluster, too old, or was there before. */
  check(line: string, now: number): RelayClaim | undefined {
    const signed = readLine(line);
    if (!signed || Math.abs(now - signed.at) > FRESH_MS) return undefined;
    if (!isSame(macOf(signed, this.#secret), signed.mac)) return undefined;
    this.#forget(now);
    if (this.#used.has(signed.nonce)) return undefined;
    this.#used.set(signed.nonce, signed.at + 2 * FRESH_MS);
    const { epoch, peer, server } = signed;
    return { epoch, peer, server };
  }

  /** The oldest nonces stand first, as a map keeps the order of its entries. */
  #forget(now: number): void {
    for (const [nonce, until] of this.#used) {
      if (until > now) return;
      this.#used.delete(nonce);
    }
  }
}

/** The answer in a line; `undefined` if it is none. */
export function readRelayAnswer(line: string): RelayAnswer | undefined {
  const answer = readObject(line);
  if (answer?.relay === "ok") return { relay: "ok" };
  if (answer?.relay !== "wrong" || !Number.isSafeInteger(answer.epoch)) return undefined;
  const { epoch, leader } = answer;
  return {
    relay: "wrong",
    epoch: epoch as number,
    leader: typeof leader === "string" ? leader : undefined,
  };
}

interface Signed extends RelayClaim {
  readonly at: number;
  readonly nonce: string;
}

function macOf({ epoch, peer, server, at, nonce }: Signed, secret: string): string {
  const text = JSON.stringify(["relay", epoch, peer, server, at, nonce]);
  return createHmac("sha256", secret).update(text).digest("hex");
}

function readLine(line: string): Signed & { mac: string } | undefined {
  const { epoch, peer, server, at, nonce, mac } = readObject(line) ?? {};
  const isNumber = (value: unknown): value is number => Number.isSafeInteger(value);
  const isText = (value: unknown): value is string =>
    typeof value === "string" && value.length <= MAX_PEER_CHARS;
  if (!isNumber(epoch) || !isNumber(at) || !isText(peer) || !isText(server)) return undefined;
  if (typeof nonce !== "string" || !/^[0-9a-f]{32}$/.test(nonce)) return undefined;
  if (typeof mac !== "string" || !/^[0-9a-f]{64}$/.test(mac)) return undefined;
  return { epoch, peer, server, at, nonce, mac };
}

function readObject(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== "object" || value === null) return undefined;
    return value as Record<string, unknown>;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Both are of one length. */
function isSame(a: string, b: string): boolean {
  const encoder = new TextEncoder();
  return timingSafeEqual(encoder.encode(a), encoder.encode(b));
}
