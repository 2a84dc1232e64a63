/**
 * Judges the first line of a connection. A worker process that knows the secret of the pool gets a work link. A
 * client goes on to its session; if the server has tokens, only after a `hello` with one of them. A load balancer that
 * asks for `health` gets its answer and stays a stranger: its next line is judged as a first line. A refused
 * connection gets the reason and is closed; nothing else that it sent is read.
 */

import { SdError } from "../../protocol/errors.ts";
import { answerSealOffer, type RecordOpener, type SealError } from "../../protocol/link_seal.ts";
import {
  checkMessage,
  findRef,
  type JsonObject,
  parseObject,
  readRef,
} from "../../protocol/message.ts";
import type { Line } from "../../protocol/ndjson.ts";
import type { ServerHealth } from "../../protocol/task.ts";
import type { WorkWelcome } from "../../protocol/work_message.ts";
import { type Auth, isSameSecret } from "../api/auth.ts";
import { MAX_HEALTH_BEFORE_HELLO, type ServerLimits } from "../limits.ts";
import type { Log } from "../log.ts";
import type { LineHandler } from "./socket/connection.ts";
import type { Outbox } from "./socket/outbox.ts";
import { errorLine, objectLine } from "./socket/replies.ts";
import { checkWorkVersion, readWorkHello } from "./link/work_hello.ts";
import type { LeaseNumbers } from "./link/held_tasks.ts";
import { LinkRegister } from "./link/link_register.ts";
import { type LinkListener, type RunReports, WorkLink } from "./link/work_link.ts";

interface AdmissionOptions {
  readonly auth: Auth;
  /** The answer to `health`. */
  readonly health: () => ServerHealth;
  readonly secret: string;
  readonly leaseMs: number;
  readonly limits: ServerLimits;
  readonly log: Log;
  readonly reports: RunReports;
  readonly links: LinkListener;
}

/** A connection whose first line is judged. */
export interface Newcomer {
  readonly outbox: Outbox;
  /** The IP address of the other side. */
  readonly address: string;
  /** It came through the port of the server's own workers, which no other process can use. */
  readonly ownWorkersOnly: boolean;
  /** Number of replies to `health` that it has got before it was let in. */
  healthAnswers: number;
  /** It has a seal, and this is its first line under the seal. */
  isSealed: boolean;
  /** Decrypts all later bytes; calls `onForged` once if some of them are not under the seal. */
  readonly unseal: (opener: RecordOpener) => void;
  onForged: (error: SealError) => void;
  readonly hangUp: () => void;
  readonly dismiss: () => void;
  /** Ends the connection now. */
  readonly cut: () => void;
  /** The coarse clock of the sweeper. */
  readonly clock: { readonly now: number };
}

/** The start of the first line of a worker process, as it writes it. */
const SECRET_IN_HEAD = /^\{"cmd":"work","version":\d+,"secret":"([^"\\]*)"/;

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #guesses: WrongGuesses;
  readonly #answering = new Set<Promise<void>>();
  readonly #numbers: LeaseNumbers = { last: 0 };
  readonly #register = new LinkRegister();

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#guesses = new WrongGuesses(options.limits.wrongGuessMs);
  }

  /** The server stops: replies to wrong guesses are sent now. */
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

  /** Whether a first line with this beginning comes from a worker process that knows the secret of the pool. */
  mayBeLink(head: Uint8Array): boolean {
    const [, secret] = SECRET_IN_HEAD.exec(new TextDecoder().decode(head)) ?? [];
    return secret !== undefined && isSameSecret(secret, this.#options.secret);
  }

  /** The reader of the connection from now on; `undefined` if its session reads it, first line included. */
  admit(line: Line, newcomer: Newcomer): LineHandler | "next" | undefined {
    const { auth } = this.#options;
    // Saves a second parse of the lines of clients. A line with one of these words is parsed, and its JSON decides.
    const mayBeOurs = line !== null && (line.includes('"work"') || line.includes('"health"'));
    if (!mayBeOurs && !auth.isRequired && !newcomer.ownWorkersOnly) return undefined;
    let message: JsonObject | undefined;
    try {
      message = parseFirst(line);
      if (message?.cmd === "work") {
        const asksForSeal = message.seal !== undefined && !newcomer.isSealed;
        return asksForSeal ? this.#seal(line!, message, newcomer) : this.#link(message, newcomer);
      }
      if (message && this.#answersHealth(line!, message, newcomer)) return "next";
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

  /** Answers `health` to a stranger, which load balancers are. False if the line must be judged as any other. */
  #answersHealth(line: string, message: JsonObject, newcomer: Newcomer): boolean {
    if (message.cmd !== "health" || !isValid(line, message)) return false;
    if (newcomer.ownWorkersOnly || newcomer.isSealed) return false;
    const { auth, health } = this.#options;
    // Without tokens, a client that asks again has a session like all others.
    const most = auth.isRequired ? MAX_HEALTH_BEFORE_HELLO : 1;
    if (newcomer.healthAnswers >= most) return false;
    newcomer.healthAnswers++;
    newcomer.outbox.push(objectLine(health(), readRefOf(message)));
    return true;
  }

  async #answerLate(line: string, { outbox, address, dismiss, hangUp }: Newcomer): Promise<void> {
    if (!await this.#guesses.late(address)) return hangUp();
    outbox.push(line);
    dismiss();
  }

  /** Replies in plain text. All later text is under the seal, also the first line of the worker process. */
  #seal(line: string, message: JsonObject, newcomer: Newcomer): "next" {
    checkWorkVersion(message);
    const { answer, seal } = answerSealOffer({
      line,
      offer: message.seal,
      secret: this.#options.secret,
    });
    newcomer.outbox.push(answer + "\n");
    newcomer.outbox.seal(seal.sealer);
    newcomer.isSealed = true;
    newcomer.onForged = () => {
      // The other side has another secret, so it cannot read sealed text.
      newcomer.outbox.seal(undefined);
      newcomer.outbox.push(errorLine(wrongSecret(), undefined));
      newcomer.dismiss();
    };
    newcomer.unseal(seal.opener);
    return "next";
  }

  #link(message: JsonObject, newcomer: Newcomer): WorkLink {
    const { secret, reports, links, leaseMs, limits, log } = this.#options;
    const { outbox, isSealed, ownWorkersOnly, hangUp, cut, clock } = newcomer;
    if (!isSealed && (ownWorkersOnly || !isSameSecret(message.secret, secret))) throw wrongSecret();
    const hello = readWorkHello(message);
    // A process can have runs and orders of an earlier server that it has not forgotten.
    this.#numbers.last = Math.max(this.#numbers.last, hello.last ?? 0);
    const link = new WorkLink({
      numbers: this.#numbers,
      register: this.#register,
      hello,
      isOwn: ownWorkersOnly,
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
    const welcome: WorkWelcome = {
      work: "ok",
      version: checkWorkVersion(message),
      lease_ms: leaseMs,
      alive_ms: limits.sweepMs,
      hold_ms: limits.holdMs,
      ...(reports.isShared && { silent_ms: limits.holdMs }),
    };
    const joining = link.join(welcome);
    if (joining) void joining.catch((error: unknown) => this.#refuse(error, newcomer));
    return link;
  }

  /** The process connects again, and asks for the same. */
  #refuse(error: unknown, { outbox, dismiss }: Newcomer): void {
    if (!(error instanceof SdError)) this.#options.log.bug("server", error);
    outbox.push(errorLine(error, undefined));
    dismiss();
  }
}

function wrongSecret(): SdError {
  return new SdError(
    "unauthorized",
    "the pool secret is not that of this server, or of its cluster; copy the file pool-PORT.secret " +
      "of a server, and name it with --secret-file, or set the same SD_POOL_SECRET on both sides",
  );
}

/** The message in a first line; `undefined` if it is not one: then the session replies with the error. */
function parseFirst(line: Line): JsonObject | undefined {
  try {
    return parseObject(line);
  } catch (error) {
    if (error instanceof SdError) return undefined;
    throw error;
  }
}

/** Whether a session would run a command of this form. */
function isValid(line: string, message: JsonObject): boolean {
  try {
    readRef(message);
    checkMessage(line, message);
    return true;
  } catch (error) {
    if (error instanceof SdError) return false;
    throw error;
  }
}

/** The `ref` of a refused message; `undefined` if it is not valid. */
function readRefOf(message: JsonObject): string | number | undefined {
  try {
    return readRef(message);
  } catch (error) {
    if (error instanceof SdError) return undefined;
    throw error;
  }
}

/** Whether a refused message names a token or a secret: it can be one of many guesses. */
function isGuess(message: JsonObject | undefined): boolean {
  return message?.token !== undefined || message?.secret !== undefined;
}

/** Drops the lines of a refused connection. */
class Refused implements LineHandler {
  constructor(readonly answered: Promise<void>) {}

  handle(): void {}

  overflow(): void {}

  ended(): Promise<void> {
    return this.answered;
  }

  cut(): void {}
}

/** Most delayed replies to one address. */
const MAX_WAITING = 16;
/** Most delayed replies to all addresses. */
const MAX_WAITING_IN_ALL = 256;

interface Waiting {
  readonly timer: ReturnType<typeof setTimeout>;
  readonly end: () => void;
}

/** Delays the replies to wrong tokens and secrets, so that guessing takes long. */
class WrongGuesses {
  readonly #delayMs: number;
  readonly #waiting = new Set<Waiting>();
  /** Number of delayed replies to each address. */
  readonly #byAddress = new Map<string, number>();

  constructor(delayMs: number) {
    this.#delayMs = delayMs;
  }

  /** Resolves with true when the reply can be sent, or with false at once if too many replies wait. */
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

  /** The server stops: all delayed replies are sent now. */
  stop(): void {
    for (const { end } of [...this.#waiting]) end();
  }
}
