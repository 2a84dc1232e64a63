/**
 * One `--intake`: keeps a connection to its message server while the server leads, and connects again after a loss, with
 * growing pauses. Each connection has a `TaskIntake` of its own, since its messages come again after a loss; the ends of
 * tasks wait in the outbox meanwhile.
 */

import type { SdError } from "../../protocol/errors.ts";
import type { IntakeView } from "../../protocol/task.ts";
import type { Metrics } from "../metrics.ts";
import type { IntakeUrl } from "./intake_url.ts";
import {
  type Delivery,
  type IntakeCounts,
  type MessageLink,
  type MessageServer,
  reasonOf,
} from "./message.ts";
import type { EndOutbox } from "../engine/outbox.ts";
import { ReplyPublisher } from "./reply_publisher.ts";
import { type IntakeServer, TaskIntake } from "./task_intake.ts";

/** RabbitMQ and NATS refuse the user or the password. */
const REFUSED_LOGIN = /ACCESS.REFUSED|authori[sz]ation violation|authentication/i;

interface IntakeOptions {
  readonly url: Pick<IntakeUrl, "name" | "shown" | "dead">;
  readonly messages: MessageServer;
  readonly server: IntakeServer;
  readonly outbox: EndOutbox | undefined;
  readonly metrics: Pick<Metrics, "notices">;
}

/** Shortest and longest pause before it connects again, in ms. */
const RECONNECT_MS = { first: 100, most: 10_000 };
/** A connection that lasted this long begins with the shortest pause again, in ms. */
const STEADY_MS = 10_000;
/** An unknown op is not refused in this time after the start, in ms: its workers are on their way. */
const PATIENCE_MS = 30_000;
/** Shortest time between two log lines about refused messages, in ms. */
const REFUSED_LOG_MS = 10_000;
/** How long after the last refused message a notice is shown, in ms. */
const REFUSED_NOTICE_MS = 300_000;
/** Longest wait of a stopping server for the commit of the last messages, in ms. */
const LAST_BATCH_MS = 3000;
/** Longest wait of a stopping server for a connection that is being made, in ms. */
const LAST_CONNECT_MS = 1000;
/** Longest wait of a stopping server for ends that can be published, in ms. */
const LAST_REPLIES_MS = 2000;

export class Intake {
  readonly #options: IntakeOptions;
  readonly #counts: IntakeCounts = { taken: 0, rejected: 0, replied: 0, dropped: 0 };
  readonly #publisher: ReplyPublisher;
  readonly #patientUntil: number;
  #state: IntakeView["state"] = "connecting";
  /** Why it does not take messages now. */
  #reason: string | undefined;
  #link: MessageLink | undefined;
  #tasks: TaskIntake | undefined;
  #isStopped = false;
  #isClosed = false;
  #running: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #refusedLogAt = -Infinity;
  #refusedSince = 0;
  #forgetRefused: (() => void) | undefined;

  constructor(options: IntakeOptions) {
    const { server: { route, log }, outbox, url: { name } } = options;
    this.#options = options;
    this.#patientUntil = route.clock.awake() + PATIENCE_MS;
    this.#publisher = new ReplyPublisher({ outbox, name, counts: this.#counts, log });
  }

  get view(): IntakeView {
    return {
      url: this.#options.url.shown,
      state: this.#state,
      ...(this.#reason === undefined ? {} : { reason: this.#reason }),
      ...this.#counts,
    };
  }

  start(): void {
    this.#publisher.start();
    this.#running ??= this.#run();
  }

  /** Takes no more messages; ends of tasks are still published. */
  async stopTaking(): Promise<void> {
    this.#isStopped = true;
    this.#link?.pause();
    if (this.#tasks) await this.#within(LAST_BATCH_MS, this.#tasks.stop());
    this.#state = "stopped";
  }

  /** Publishes what can be published soon, and ends the connection. */
  async close(): Promise<void> {
    if (this.#link) await this.#within(LAST_REPLIES_MS, this.#publisher.idle());
    await this.drop();
  }

  /** Ends the connection at once: what it has delivered is not acknowledged any more. */
  async drop(): Promise<void> {
    this.#isClosed = true;
    this.#isStopped = true;
    this.#publisher.close();
    this.#tasks?.close();
    this.#forgetRefused?.();
    this.#wake?.();
    const { notices } = this.#options.metrics;
    notices.delete(this.#noticeName("down"));
    notices.delete(this.#noticeName("refused"));
    await this.#link?.close();
    // A message server that is frozen may let a new connection wait for long.
    if (this.#running) await this.#within(LAST_CONNECT_MS, this.#running);
    this.#state = "stopped";
  }

  async #run(): Promise<void> {
    const { url: { name, shown }, server: { log, route: { clock } }, messages } = this.#options;
    let pauseMs = RECONNECT_MS.first;
    let isDown = false;
    while (!this.#isClosed) {
      let reason: string;
      const since = clock.awake();
      try {
        const link = await this.#connect(messages);
        if (this.#isClosed) return await link.close();
        log.info("intake", `${name}: ${isDown ? "connected again" : `takes tasks from ${shown}`}`);
        isDown = false;
        this.#options.metrics.notices.delete(this.#noticeName("down"));
        reason = await link.lost;
        this.#lost();
        await link.close();
      } catch (error) {
        reason = reasonOf(error);
        this.#lost();
      }
      if (this.#isClosed) return;
      if (clock.awake() - since > STEADY_MS) pauseMs = RECONNECT_MS.first;
      if (!isDown) this.#down(reason);
      isDown = true;
      this.#state = "connecting";
      this.#reason = reason;
      await this.#sleep(pauseMs);
      pauseMs = Math.min(pauseMs * 2, RECONNECT_MS.most);
    }
  }

  async #connect(messages: MessageServer): Promise<MessageLink> {
    const { server } = this.#options;
    const tasks = new TaskIntake({
      server,
      counts: this.#counts,
      flow: {
        pause: () => this.#link?.pause(),
        resume: () => this.#link?.resume(),
      },
      onWaiting: (reason) => this.#waits(reason),
      reply: (route, body) => this.#publisher.send(route, body),
      patientUntil: this.#patientUntil,
    });
    this.#tasks = tasks;
    // Until the connection is known here it cannot be paused.
    let isReady = false;
    const early: Delivery[] = [];
    const link = await messages.open((delivery) => {
      const watched = this.#watched(delivery);
      if (isReady) tasks.push(watched);
      else early.push(watched);
    });
    this.#link = link;
    isReady = true;
    if (this.#isStopped) link.pause();
    this.#state = this.#isStopped ? "stopped" : "taking";
    this.#reason = undefined;
    for (const delivery of early) tasks.push(delivery);
    this.#publisher.attach(link);
    return link;
  }

  /** The connection is lost. */
  #lost(): void {
    this.#tasks?.close();
    this.#tasks = undefined;
    this.#link = undefined;
  }

  #down(reason: string): void {
    const { url: { name, shown }, server: { log }, metrics } = this.#options;
    const cure = REFUSED_LOGIN.test(reason)
      ? "set the user in --intake, and the password in SD_INTAKE_PASSWORD"
      : "start the message server, or correct --intake and start sd again";
    log.warn("intake", `${name}: no tasks come from ${shown}: ${reason}; it tries again; ${cure}`);
    metrics.notices.set(this.#noticeName("down"), {
      message: `no tasks come from ${shown}: ${reason}`,
      cure,
    });
  }

  #waits(reason: SdError | undefined): void {
    if (this.#isStopped) return;
    this.#state = reason ? "waiting" : "taking";
    this.#reason = reason?.message;
    const { url: { name }, server: { log } } = this.#options;
    if (!reason) log.info("intake", `${name}: takes tasks again`);
    else if (reason.code !== "shutting_down") {
      log.warn("intake", `${name}: messages wait in their queue: ${reason.message}`);
    }
  }

  /** The delivery, with its refusal in the log and in the notices. */
  #watched(delivery: Delivery): Delivery {
    return {
      id: delivery.id,
      body: delivery.body,
      route: delivery.route,
      isRepeated: delivery.isRepeated,
      taken: () => delivery.taken(),
      refused: (reason) => {
        this.#refused(delivery.id, reason);
        delivery.refused(reason);
      },
    };
  }

  #refused(id: string | undefined, { code }: SdError): void {
    const { url: { name, shown, dead }, server: { log, route: { clock } }, metrics } =
      this.#options;
    this.#refusedSince++;
    const subject = this.#noticeName("refused");
    metrics.notices.set(subject, {
      message:
        `messages from ${shown} were refused, ${this.#counts.rejected} so far; the last: ${code}`,
      cure: `read their reasons in ${dead}`,
    });
    this.#forgetRefused?.();
    this.#forgetRefused = clock.after(REFUSED_NOTICE_MS, () => metrics.notices.delete(subject));
    const now = clock.awake();
    if (now - this.#refusedLogAt < REFUSED_LOG_MS) return;
    this.#refusedLogAt = now;
    const messages = this.#refusedSince === 1 ? "1 message" : `${this.#refusedSince} messages`;
    const last = JSON.stringify(id?.slice(0, 128) ?? "");
    log.warn(
      "intake",
      `${name}: refused ${messages} into ${dead}; the last has the id ${last}: ${code}`,
    );
    this.#refusedSince = 0;
  }

  #noticeName(what: string): string {
    return `intake ${this.#options.url.name} ${what}`;
  }

  async #sleep(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const forget = this.#options.server.route.clock.after(ms, resolve);
    this.#wake = resolve;
    if (!this.#isClosed) await promise;
    forget();
  }

  async #within(ms: number, work: Promise<void>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const forget = this.#options.server.route.clock.after(ms, resolve);
    await Promise.race([work, promise]);
    forget();
  }
}
