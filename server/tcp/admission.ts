/**
 * Judges the first line of a connection. A worker process that knows the secret of the pool gets a work link. A
 * client goes on to its session; if the server has tokens, only after a `hello` with one of them. A refused
 * connection gets the reason and is closed; nothing else that it sent is read.
 */

import { SdError } from "../../protocol/errors.ts";
import { answerSealOffer, type RecordOpener, type SealError } from "../../protocol/link_seal.ts";
import { findRef, type JsonObject, parseObject, readRef } from "../../protocol/message.ts";
import type { Line } from "../../protocol/ndjson.ts";
import type { WorkWelcome } from "../../protocol/work_message.ts";
import { type Auth, isSameSecret } from "../api/auth.ts";
import type { ServerLimits } from "../limits.ts";
import type { Log } from "../log.ts";
import type { LineHandler } from "./socket/connection.ts";
import type { Outbox } from "./socket/outbox.ts";
import { errorLine } from "./socket/replies.ts";
import { checkWorkVersion, readWorkHello } from "./link/work_hello.ts";
import type { LeaseNumbers } from "./link/held_tasks.ts";
import { type LinkListener, type RunReports, WorkLink } from "./link/work_link.ts";

interface AdmissionOptions {
  readonly auth: Auth;
  readonly secret: string;
  readonly leaseMs: number;
  readonly limits: ServerLimits;
  readonly log: Log;
  readonly reports: RunReports;
  readonly links: LinkListener & { attached(link: WorkLink): void };
}

/** A connection that says its first line. */
export interface Newcomer {
  readonly outbox: Outbox;
  /** Where it comes from. */
  readonly address: string;
  /** It came through the port of the server's own workers, which no other process can use. */
  readonly ownWorkersOnly: boolean;
  /** It has asked for a seal and got it; this is the first line under that. */
  isSealed: boolean;
  /** What comes in from now on is under a seal, and some of it may not be: then `onForged` is called once. */
  readonly unseal: (opener: RecordOpener) => void;
  onForged: (error: SealError) => void;
  readonly hangUp: () => void;
  readonly dismiss: () => void;
  /** Ends the connection now. */
  readonly cut: () => void;
  /** The sweeper's. */
  readonly clock: { readonly now: number };
}

/** As a worker process writes it, before its ops. */
const SECRET_IN_HEAD = /^\{"cmd":"work","version":\d+,"secret":"([^"\\]*)"/;

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #guesses: WrongGuesses;
  readonly #answering = new Set<Promise<void>>();
  readonly #numbers: LeaseNumbers = { last: 0 };

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#guesses = new WrongGuesses(options.limits.wrongGuessMs);
  }

  /** The server stops: wrong guesses are answered now. */
  async stop(): Promise<void> {
    this.#guesses.stop();
    await Promise.all(this.#answering);
  }

  /**
   * Judges the token of a further `hello`, on a connection that was let in. For a wrong token it throws `unauthorized`,
   * late, and the connection ends. If too many answers wait, the connection is cut at once, without one.
   */
  async judgeAgain(
    token: unknown,
    { address, cut }: Pick<Newcomer, "address" | "cut">,
  ): Promise<void> {
    try {
      this.#options.auth.check(token);
    } catch (error) {
      if (!await this.#guesses.late(address)) cut();
      throw error;
    }
  }

  /** Whether a first line that begins so is that of a worker process, which knows the secret of the pool. */
  mayBeLink(head: Uint8Array): boolean {
    const [, secret] = SECRET_IN_HEAD.exec(new TextDecoder().decode(head)) ?? [];
    return secret !== undefined && isSameSecret(secret, this.#options.secret);
  }

  /** The reader of the connection from now on; `undefined` if its session reads it, first line included. */
  admit(line: Line, newcomer: Newcomer): LineHandler | "sealed" | undefined {
    const { auth } = this.#options;
    const mayBeLink = line !== null && line.includes('"work"');
    // Only to spare clients a second parse: the JSON decides.
    if (!mayBeLink && !auth.isRequired && !newcomer.ownWorkersOnly) return undefined;
    let message: JsonObject | undefined;
    try {
      message = parseFirst(line);
      if (message?.cmd === "work") {
        const asksForSeal = message.seal !== undefined && !newcomer.isSealed;
        return asksForSeal ? this.#seal(line!, message, newcomer) : this.#link(message, newcomer);
      }
      if (newcomer.ownWorkersOnly || newcomer.isSealed) {
        throw new SdError("unauthorized", "this port is for the server's own workers");
      }
      if (auth.isRequired) auth.check(message?.cmd === "hello" ? message.token : undefined);
      return undefined;
    } catch (error) {
      const reply = errorLine(error, message ? readRefOf(message) : findRef(line ?? ""));
      if (isGuess(message)) {
        const answering = this.#answerLate(reply, newcomer);
        this.#answering.add(answering);
        void answering.then(() => this.#answering.delete(answering));
        return new Refused(answering);
      }
      newcomer.outbox.push(reply);
      newcomer.dismiss();
      return new Refused(Promise.resolve());
    }
  }

  async #answerLate(line: string, { outbox, address, dismiss, hangUp }: Newcomer): Promise<void> {
    if (!await this.#guesses.late(address)) return hangUp();
    outbox.push(line);
    dismiss();
  }

  /** The answer is plain; all after it is under the seal, the worker process' first line included. */
  #seal(line: string, message: JsonObject, newcomer: Newcomer): "sealed" {
    checkWorkVersion(message.version);
    const { answer, seal } = answerSealOffer({
      line,
      offer: message.seal,
      secret: this.#options.secret,
    });
    newcomer.outbox.push(answer + "\n");
    newcomer.outbox.seal(seal.sealer);
    newcomer.isSealed = true;
    newcomer.onForged = () => {
      // It cannot open what this side seals.
      newcomer.outbox.seal(undefined);
      newcomer.outbox.push(errorLine(wrongSecret(), undefined));
      newcomer.dismiss();
    };
    newcomer.unseal(seal.opener);
    return "sealed";
  }

  #link(message: JsonObject, newcomer: Newcomer): WorkLink {
    const { secret, reports, links, leaseMs, limits, log } = this.#options;
    const { outbox, isSealed, ownWorkersOnly, hangUp, cut, clock } = newcomer;
    if (!isSealed && (ownWorkersOnly || !isSameSecret(message.secret, secret))) throw wrongSecret();
    const link = new WorkLink({
      numbers: this.#numbers,
      hello: readWorkHello(message),
      outbox,
      reports,
      listener: links,
      hangUp,
      cut,
      clock,
      limits,
      leaseMs,
      log,
    });
    if (isSealed) newcomer.onForged = (error) => link.forged(error.message);
    outbox.trust();
    const welcome: WorkWelcome = { work: "ok", lease_ms: leaseMs, alive_ms: limits.sweepMs };
    outbox.push(JSON.stringify(welcome) + "\n");
    links.attached(link);
    return link;
  }
}

function wrongSecret(): SdError {
  return new SdError(
    "unauthorized",
    "the pool secret is not that of this server; see --secret-file in: sd work --help",
  );
}

/** The message in a first line; nothing where it is none, which the session will say in its own words. */
function parseFirst(line: Line): JsonObject | undefined {
  try {
    return parseObject(line);
  } catch (error) {
    if (error instanceof SdError) return undefined;
    throw error;
  }
}

/** The `ref` of a message that is refused; `undefined` if it is none. */
function readRefOf(message: JsonObject): string | number | undefined {
  try {
    return readRef(message);
  } catch (error) {
    if (error instanceof SdError) return undefined;
    throw error;
  }
}

/** Whether a message that was refused names a token or a secret: it may be tried again with another. */
function isGuess(message: JsonObject | undefined): boolean {
  return message?.token !== undefined || message?.secret !== undefined;
}

/** Reads a connection that is being dismissed, or will be. */
class Refused implements LineHandler {
  constructor(readonly answered: Promise<void>) {}

  handle(): void {}

  overflow(): void {}

  ended(): Promise<void> {
    return this.answered;
  }

  cut(): void {}
}

/** Most answers that wait for an address, and for all addresses together. */
const MAX_WAITING = 16;
const MAX_WAITING_IN_ALL = 256;

interface Waiting {
  readonly timer: ReturnType<typeof setTimeout>;
  readonly end: () => void;
}

class WrongGuesses {
  readonly #delayMs: number;
  readonly #waiting = new Set<Waiting>();
  /** How many wait for each address that any waits for. */
  readonly #byAddress = new Map<string, number>();

  constructor(delayMs: number) {
    this.#delayMs = delayMs;
  }

  /** Resolves with true when the answer may be given; with false at once if there will be none. */
  async late(address: string): Promise<boolean> {
    const count = this.#byAddress.get(address) ?? 0;
    if (count >= MAX_WAITING || this.#waiting.size >= MAX_WAITING_IN_ALL) return false;
    this.#byAddress.set(address, count + 1);
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(waiting.timer);
        this.#waiting.delete(waiting);
        resolve();
      };
      const waiting: Waiting = { timer: setTimeout(() => end(), this.#delayMs), end };
      this.#waiting.add(waiting);
    });
    const left = (this.#byAddress.get(address) ?? 1) - 1;
    if (left > 0) this.#byAddress.set(address, left);
    else this.#byAddress.delete(address);
    return true;
  }

  /** The server stops: what waits is answered now. */
  stop(): void {
    for (const { end } of [...this.#waiting]) end();
  }
}
