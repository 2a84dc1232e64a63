/**
 * The worker's side of its port: takes its row of the task table and the port from the first message,
 * then runs what comes through the port. The port stays in here, so task code cannot speak for it.
 */

import { closeWorker, now } from "./primordials.ts";
import type { Handler } from "./handler.ts";
import { ResultWriter } from "./result_area.ts";
import { TaskLoop } from "./task_loop.ts";
import { TaskTable } from "./task_table.ts";
import type { ThreadOrder, ThreadReport, ThreadStart } from "./thread_message.ts";

/** Runs tasks of these ops from now on. Called once, by the entry of a Web Worker. */
export function serveTasks(ops: ReadonlyMap<string, Handler>): void {
  globalThis.addEventListener("message", (event) => {
    const { data, ports: [port] } = event as MessageEvent<ThreadStart>;
    if (port) start(ops, data, port);
  }, { once: true });
}

function start(
  ops: ReadonlyMap<string, Handler>,
  { table: buffer, workers, row: index }: ThreadStart,
  port: MessagePort,
): void {
  const table = new TaskTable(workers, buffer);
  const row = table.row(index);
  const report = port.postMessage.bind(port) as (report: ThreadReport) => void;
  const results = new ResultWriter(table.resultArea(index), row);
  const loop = new TaskLoop({ row, results, ops, report });
  port.onmessage = ({ data }: MessageEvent<ThreadOrder>) => {
    if ("lines" in data) loop.push(data.seq, data.lines);
    else if ("stop" in data) loop.stop(data.stop, data.reason);
    else {
      row.setClosed();
      closeWorker();
    }
  };
  report({ ready: now() });
}
