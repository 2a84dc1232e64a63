/**
 * All intakes of a server: it starts and stops with the rooms of a server that leads. The libraries of RabbitMQ and NATS are
 * loaded when an intake asks for them.
 */

import type { Engine } from "../engine/engine.ts";
import type { Metrics } from "../metrics.ts";
import { Intake } from "./intake.ts";
import type { IntakeUrl } from "./intake_url.ts";
import type { MessageServer } from "./message.ts";
import type { EndOutbox } from "../engine/outbox.ts";
import { type Inbox, SqlIntake } from "./sql_intake.ts";
import type { IntakeServer } from "./task_intake.ts";

/** The parts of a server that its bridge works with. */
export interface BridgeParts extends IntakeServer {
  readonly engine: Pick<Engine, "serials" | "get"> & { readonly outbox?: EndOutbox };
  readonly metrics: Metrics;
}

interface BridgeOptions {
  readonly intakes: readonly IntakeUrl[];
  readonly parts: BridgeParts;
  /** The table of tasks that clients wrote into the store, if it has one. */
  readonly inbox?: Inbox | undefined;
}

/** Starts nothing yet. */
export async function openBridge(options: BridgeOptions): Promise<Bridge> {
  const { intakes, inbox, parts: server } = options;
  const { metrics, engine: { outbox } } = server;
  const lines: (Intake | SqlIntake)[] = await Promise.all(intakes.map(async (url) => {
    const messages = await messageServer(url, server);
    return new Intake({ url, messages, server, outbox, metrics });
  }));
  if (inbox) lines.push(new SqlIntake({ inbox, server }));
  return new Bridge(lines, metrics);
}

async function messageServer(url: IntakeUrl, { log }: IntakeServer): Promise<MessageServer> {
  if (url.kind === "amqp") return (await import("./rabbitmq.ts")).rabbitmq(url, log);
  return (await import("./nats.ts")).nats(url, log);
}

export class Bridge {
  readonly #intakes: readonly (Intake | SqlIntake)[];

  constructor(intakes: readonly (Intake | SqlIntake)[], metrics: Metrics) {
    this.#intakes = intakes;
    if (intakes.length > 0) metrics.intakes = () => intakes.map(({ view }) => view);
  }

  start(): void {
    for (const intake of this.#intakes) intake.start();
  }

  /** Takes no more tasks; ends are still published. Twice is once. */
  async stopTaking(): Promise<void> {
    await Promise.all(this.#intakes.map((intake) => intake.stopTaking()));
  }

  /** Ends all connections at once: this server leads no more, and its messages go to the next leader. */
  async drop(): Promise<void> {
    await Promise.all(this.#intakes.map((intake) => intake.drop()));
  }

  /** Ends all connections. Twice is once. */
  async close(): Promise<void> {
    await this.stopTaking();
    await Promise.all(this.#intakes.map((intake) => intake.close()));
  }
}
