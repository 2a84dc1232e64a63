/**
 * A worker that something has got hold of: it does its tasks, and says of the op `forge` what cannot be. That is
 * its last word: the pool lays a forgery to the task that runs, so no other may have begun when it reads of it.
 */

import { readLeasedRun } from "../../workers/ops/leased_run.ts";
import { ResultRing } from "../../workers/bridge/ring_area.ts";
import { TaskShare } from "../../workers/bridge/task_table.ts";
import type { ThreadOrder, ThreadStart } from "../../workers/bridge/thread_message.ts";

export const FORGERIES = [
  "another's result",
  "another's result beside its own",
  "another's result by message",
  "two lines by message",
  "more results than it has tasks",
  "results that are not there",
  "results beyond the area",
  "no number",
  "no report",
  "another's log",
  "a huge note",
  "nothing at all",
];

interface Means {
  readonly port: MessagePort;
  readonly results: ResultRing;
  readonly seq: number;
  readonly lease: number;
}

function forge(how: string, { port, results, seq, lease }: Means): void {
  const forged = `{"lease":${lease + 1},"result":"forged"}`;
  const own = `{"lease":${lease},"result":"own"}`;
  const done = (end: unknown = results.end) => port.postMessage({ done: seq, end, logEnd: 0 });
  switch (how) {
    case "another's result":
      results.writeLine(forged);
      return done();
    case "another's result beside its own":
      results.writeLine(own);
      results.writeLine(forged);
      return done();
    case "another's result by message":
      return port.postMessage({ done: seq, end: results.end, logEnd: 0, line: forged });
    case "two lines by message":
      return port.postMessage({
        done: seq,
        end: results.end,
        logEnd: 0,
        line: `${own}\n${forged}`,
      });
    case "more results than it has tasks":
      results.writeLine(own);
      return port.postMessage({ done: seq + 1000, end: results.end, logEnd: 0 });
    case "results that are not there":
      return done();
    case "results beyond the area":
      return done(results.end + 10_000_000);
    case "no number":
      return done("1");
    case "no report":
      return port.postMessage({ forged });
    case "another's log":
      return port.postMessage({ said: `{"lease":${lease + 1000},"log":[]}`, logEnd: 0 });
    case "a huge note":
      return port.postMessage({ noted: seq, note: "x".repeat(1_000_000) });
    case "nothing at all":
      return port.postMessage(null);
  }
}

function serve({ share }: ThreadStart, port: MessagePort): void {
  const { row, results: ring } = new TaskShare(share);
  const results = new ResultRing(ring, row);
  let hasForged = false;
  const run = (seq: number, line: string): boolean => {
    if (!row.claim(seq, performance.now() | 0)) return false;
    row.setRunning(true);
    const { op, args, lease } = readLeasedRun(line);
    if (op === "forge") {
      hasForged = true;
      forge(String(args.how), { port, results, seq, lease });
      return false;
    }
    results.writeResult(lease, JSON.stringify(args.n));
    row.finish(seq, results.end);
    row.setRunning(false);
    port.postMessage({ done: seq, end: results.end, logEnd: 0 });
    return true;
  };
  port.onmessage = ({ data }: MessageEvent<ThreadOrder>) => {
    if (!("lines" in data) || hasForged) return;
    data.lines.split("\n").every((line, i) => run(data.seq + i, line));
  };
  port.postMessage({ ready: performance.now() });
}

globalThis.addEventListener("message", (event) => {
  const { data, ports: [port] } = event as MessageEvent<ThreadStart>;
  if (port) serve(data, port);
});
