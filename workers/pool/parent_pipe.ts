/**
 * The pipe to the parent process (protocol/pool_start.ts). Orders come in on stdin; its end means that the parent has
 * ended, in whatever way. News of this process go out on stdout, among them the lines for the operator. `PoolProcess`
 * owns it.
 */

import { print } from "../../cli/talk.ts";
import { MAX_LINE_BYTES } from "../../protocol/limits.ts";
import { type Line, LineSplitter } from "../../protocol/ndjson.ts";
import type { ParentOrder, PoolNews, PoolStart } from "../../protocol/pool_start.ts";

/** Most lines that are logged only once. */
const MAX_ONCE = 100;

type Body<News> = News extends unknown ? Omit<News, "nonce"> : never;
type NewsBody = Body<PoolNews>;

export class ParentPipe {
  readonly #splitter = new LineSplitter(MAX_LINE_BYTES);
  readonly #buffer = new Uint8Array(4096);
  #lines: Line[] = [];
  #nonce = "";
  readonly #saidOnce = new Set<string>();
  #lastSaid = "";

  /** The first line; `undefined` if the parent ended before it sent one. */
  async readStart(): Promise<PoolStart | undefined> {
    const line = await this.#next();
    if (line === undefined) return undefined;
    const start = JSON.parse(line) as PoolStart;
    this.#nonce = start.nonce;
    return start;
  }

  /** Listens for orders to stop; resolves when the parent has ended. */
  async listen(stop: (graceMs: number) => void): Promise<void> {
    for (let line = await this.#next(); line !== undefined; line = await this.#next()) {
      const order = JSON.parse(line) as ParentOrder;
      if ("stop" in order) stop(order.grace_ms);
      else this.send({ alive: true });
    }
  }

  /** Sends news of this process to the parent. */
  send(news: NewsBody): void {
    const message = { nonce: this.#nonce, ...news } as PoolNews;
    // On a line of its own, even if other code of this process has begun a line.
    print(`\n${JSON.stringify(message)}`);
  }

  /** Logs a line for the operator. */
  say(text: string): void {
    this.send({ said: text });
  }

  /** Logs a line unless it was logged before; after many such lines, no more. */
  sayOnce(text: string): void {
    if (this.#saidOnce.has(text) || this.#saidOnce.size >= MAX_ONCE) return;
    this.#saidOnce.add(text);
    this.say(text);
  }

  /** Logs a line unless it is the same as in the last call. */
  sayIfNew(text: string): void {
    if (text !== this.#lastSaid) this.say(text);
    this.#lastSaid = text;
  }

  /** The next `sayIfNew` logs its line in any case. */
  forgetLast(): void {
    this.#lastSaid = "";
  }

  async #next(): Promise<string | undefined> {
    for (;;) {
      for (let line = this.#lines.shift(); line !== undefined; line = this.#lines.shift()) {
        if (line) return line;
      }
      const count = await Deno.stdin.read(this.#buffer);
      if (count === null) return undefined;
      this.#lines = this.#splitter.push(this.#buffer.subarray(0, count));
    }
  }
}
