/**
 * The pipe to the process that started this one (protocol/pool_start.ts): what to do comes in on
 * stdin, whose end means that the parent is gone, however it ended; stdout tells it how this process is.
 */

import { print } from "../../cli/talk.ts";
import { MAX_LINE_BYTES } from "../../protocol/limits.ts";
import { type Line, LineSplitter } from "../../protocol/ndjson.ts";
import type { ParentOrder, PoolNews, PoolStart } from "../../protocol/pool_start.ts";

type Body<News> = News extends unknown ? Omit<News, "nonce"> : never;
type NewsBody = Body<PoolNews>;

export class ParentPipe {
  readonly #splitter = new LineSplitter(MAX_LINE_BYTES);
  readonly #buffer = new Uint8Array(4096);
  #lines: Line[] = [];
  #nonce = "";

  /** The first line; `undefined` where the parent is gone before it said anything. */
  async readStart(): Promise<PoolStart | undefined> {
    const line = await this.#next();
    if (line === undefined) return undefined;
    const start = JSON.parse(line) as PoolStart;
    this.#nonce = start.nonce;
    return start;
  }

  /** Listens for the order to stop; resolves when the parent is gone. */
  async listen(stop: (graceMs: number) => void): Promise<void> {
    for (let line = await this.#next(); line !== undefined; line = await this.#next()) {
      const order = JSON.parse(line) as ParentOrder;
      if ("stop" in order) stop(order.grace_ms);
      else this.tell({ alive: true });
    }
  }

  /** Tells the parent how this process is. */
  tell(news: NewsBody): void {
    const message = { nonce: this.#nonce, ...news } as PoolNews;
    // On a line of its own, whatever else in this process has begun one.
    print(`\n${JSON.stringify(message)}`);
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
