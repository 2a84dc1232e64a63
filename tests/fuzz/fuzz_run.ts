/**
 * A run of the fuzzer on a real server. Some connections send frames of every kind, and a probe sends valid tasks all the
 * time. At the end, the run checks what was left behind.
 */

import { delay } from "@std/async/delay";
import { type Frame, FrameMaker } from "./frames.ts";
import { Fault, FuzzConnection, type Tally } from "./fuzz_connection.ts";
import { greeting } from "./greeting.ts";
import { ProbeClient } from "./probe_client.ts";
import { Random } from "./random.ts";
import { ServerProcess } from "./server_process.ts";

export interface FuzzOptions {
  readonly seed: number;
  readonly frames: number;
  readonly connections: number;
  /** Longest run, in ms, however many frames are left. */
  readonly seconds: number;
  readonly onProgress?: (frames: number, rate: number) => void;
}

export interface FuzzReport {
  readonly frames: number;
  readonly seconds: number;
  readonly opened: number;
  readonly probes: number;
  readonly kinds: Tally;
  readonly replies: Tally;
  /** Of the server, in MiB; `undefined` if the system does not report it. */
  readonly rssAfterWarmUp: number | undefined;
  readonly rssAtEnd: number | undefined;
}

export const MAX_GROWTH_MIB = 50;
/** With fewer, the server's heap has not found its usual size after the first fifth of them. */
export const FRAMES_TO_JUDGE_GROWTH = 1_000_000;
const WARM_UP = 0.2;
const PROGRESS_MS = 5000;

export class FuzzRun {
  readonly #options: FuzzOptions;
  readonly #server: ServerProcess;
  readonly #kinds: Tally = new Map();
  readonly #replies: Tally = new Map();
  #frames = 0;
  #limit = 0;
  #until = 0;
  #opened = 0;

  private constructor(options: FuzzOptions, server: ServerProcess) {
    this.#options = options;
    this.#server = server;
  }

  /** Throws a `Fault` where the server did what it must never do. */
  static async start(options: FuzzOptions): Promise<FuzzReport> {
    await using server = await ServerProcess.start(2);
    const report = await new FuzzRun(options, server).#run();
    if (server.fault) throw new Fault(server.fault);
    return report;
  }

  async #run(): Promise<FuzzReport> {
    const { frames, seconds, seed } = this.#options;
    const random = new Random(seed);
    const startedAt = performance.now();
    this.#until = startedAt + seconds * 1000;
    using probe = await ProbeClient.connect(this.#server.address);
    const filesBefore = await this.#server.openFiles();
    this.#limit = frames * WARM_UP;
    await this.#fuzz(random, probe);
    await probe.quiet();
    const rssAfterWarmUp = await this.#server.rssMiB();
    this.#limit = frames;
    await this.#fuzz(random, probe);
    const took = (performance.now() - startedAt) / 1000;
    await probe.quiet();
    await this.#filesBack(filesBefore);
    return {
      frames: this.#frames,
      seconds: took,
      opened: this.#opened,
      probes: probe.asked,
      kinds: this.#kinds,
      replies: this.#replies,
      rssAfterWarmUp,
      rssAtEnd: await this.#server.rssMiB(),
    };
  }

  /** All connections, until the frames or the time are used up; the probe beside them. */
  async #fuzz(random: Random, probe: ProbeClient): Promise<void> {
    const abort = new AbortController();
    const beside = [probe.watch(abort.signal), this.#watch(abort.signal)];
    const lanes = Array.from({ length: this.#options.connections }, async (_, lane) => {
      const own = random.fork();
      try {
        while (!this.#isOver) await this.#life(own, `${lane}/${++this.#opened}`);
      } catch (error) {
        // The others end with it: one fault is enough.
        this.#until = 0;
        throw error;
      }
    });
    const ended = await Promise.allSettled(lanes);
    abort.abort();
    const all = [...ended, ...await Promise.allSettled(beside)];
    // A server that is gone makes every connection fail: say so first.
    if (this.#server.fault) throw new Fault(this.#server.fault);
    for (const one of all) if (one.status === "rejected") throw one.reason;
  }

  get #isOver(): boolean {
    return this.#frames >= this.#limit || performance.now() >= this.#until;
  }

  /** One connection from its first byte to its last. */
  async #life(random: Random, name: string): Promise<void> {
    using connection = await FuzzConnection.connect(this.#server.address, this.#replies);
    const maker = new FrameMaker(random, name);
    if (random.chance(0.05)) return await this.#greet(connection, random);
    await this.#send(connection, [{ kind: "opening", bytes: opening(random) }], random);
    for (let bursts = random.int(1, 30); bursts > 0 && !this.#isOver; bursts--) {
      const count = random.int(1, random.chance(0.1) ? 200 : 40);
      await this.#send(connection, Array.from({ length: count }, () => maker.next()), random);
      await connection.settled();
    }
    await this.#end(connection, maker);
  }

  /** Another protocol, or a work link without the secret: one refusal, and the connection ends. */
  async #greet(connection: FuzzConnection, random: Random): Promise<void> {
    const bytes = greeting(random);
    this.#count("greeting");
    const codes = ["bad_json", "unauthorized", "line_too_long"];
    const isEmpty = bytes.every((byte) => byte === 10 || byte === 13);
    if (!isEmpty) connection.expect({ is: "refused", ref: undefined, codes }, bytes);
    await sendUntilClosed(connection, bytes);
    await connection.closedByServer();
  }

  async #end(connection: FuzzConnection, maker: FrameMaker): Promise<void> {
    const { random } = maker;
    switch (random.int(0, 4)) {
      case 0: {
        this.#count("half-close");
        // The last line has no newline, and counts as a line.
        const { bytes } = maker.decent();
        connection.expectLines(bytes);
        await connection.send(bytes.subarray(0, -1));
        await connection.closeWrite();
        return await connection.closedByServer();
      }
      case 1: {
        this.#count("cut in a line");
        const { bytes } = maker.decent();
        await connection.send(bytes.subarray(0, random.int(1, bytes.length - 1)));
        return await connection.cut();
      }
      case 2: {
        this.#count("cut with tasks running");
        const frames = Array.from({ length: random.int(1, 100) }, () => maker.decent());
        await this.#send(connection, frames, random);
        return await connection.cut();
      }
      case 3: {
        this.#count("line too long");
        const bytes = maker.oversize();
        connection.expect({ is: "refused", ref: undefined, codes: ["line_too_long"] }, bytes);
        await sendUntilClosed(connection, bytes);
        return await connection.closedByServer();
      }
      default:
        this.#count("cut");
        return await connection.cut();
    }
  }

  /** Sends the frames in segments of any size; most of the time in one. */
  async #send(connection: FuzzConnection, frames: readonly Frame[], random: Random): Promise<void> {
    for (const { kind, bytes } of frames) {
      this.#count(kind);
      connection.expectLines(bytes);
    }
    const whole = concat(frames.map(({ bytes }) => bytes));
    if (random.chance(0.7)) return await connection.send(whole);
    const most = random.pick([3, 50, 2000]);
    // Tiny segments for the beginning only: a megabyte of them would take all day.
    let at = 0;
    for (let pieces = 0; pieces < 200 && at < whole.length; pieces++) {
      const size = random.int(1, most);
      await connection.send(whole.subarray(at, at + size));
      at += size;
    }
    if (at < whole.length) await connection.send(whole.subarray(at));
  }

  #count(kind: string): void {
    this.#frames++;
    this.#kinds.set(kind, (this.#kinds.get(kind) ?? 0) + 1);
  }

  /** Ends the run when the server has ended; logs the progress. */
  async #watch(signal: AbortSignal): Promise<void> {
    let last = { at: performance.now(), frames: this.#frames };
    while (!signal.aborted) {
      await delay(100);
      if (this.#server.fault) this.#until = 0;
      const now = performance.now();
      if (now - last.at < PROGRESS_MS) continue;
      const rate = (this.#frames - last.frames) / (now - last.at) * 1000;
      this.#options.onProgress?.(this.#frames, rate);
      last = { at: now, frames: this.#frames };
    }
  }

  /** Closed connections leave no file open. */
  async #filesBack(before: number | undefined): Promise<void> {
    if (before === undefined) return;
    let now = await this.#server.openFiles() ?? 0;
    // Another worker process has other pipes; it may have been replaced, and the old one be ending.
    for (let tries = 0; now > before && tries < 100; tries++) {
      await delay(50);
      now = await this.#server.openFiles() ?? 0;
    }
    if (now > before) throw new Fault(`${now} files are open, ${before} were at the start`);
  }
}

/** The first line of a connection, but for `health`, decides what it is; empty lines before it are skipped. */
function opening(random: Random): Uint8Array {
  const first = random.pick([
    '{"cmd":"ping"}\n',
    '{"cmd":"health"}\n{"cmd":"ping"}\n',
    '{"cmd":"hello"}\r\n',
    '{"op":5}\n',
    "{}\n",
  ]);
  return new TextEncoder().encode(random.pick(["", "", "\n", "\r\n\r\n"]) + first);
}

/** The server may hang up before it has read all of it. */
async function sendUntilClosed(connection: FuzzConnection, bytes: Uint8Array): Promise<void> {
  try {
    await connection.send(bytes);
    await connection.closeWrite();
  } catch (error) {
    const { BrokenPipe, ConnectionReset, NotConnected } = Deno.errors;
    if (![BrokenPipe, ConnectionReset, NotConnected].some((kind) => error instanceof kind)) {
      throw error;
    }
  }
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
