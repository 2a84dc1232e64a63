/**
 * The worker's side of its port: takes its row of the task table and the port from the first message,
 * then runs what comes through the port. The port stays in here, so task code cannot speak for it.
 */

import { captureConsole } from "./console_capture.ts";
import { closeWorker, now } from "./primordials.ts";
import type { Handler } from "./handler.ts";
import { LogWriter } from "./log_area.ts";
import { LogOutlet } from "./log_outlet.ts";
import { Prints } from "./prints.ts";
import { ResultWriter } from "./result_area.ts";
import { strayPrinter } from "./stray_printer.ts";
import { TaskLoop } from "./task_loop.ts";
import { TaskTable } from "./task_table.ts";
import type { ThreadOrder, ThreadReport, ThreadStart } from "./thread_message.ts";

/** Runs tasks of these ops from now on. Called once, by the entry of a Web Worker. */
export function serveTasks(ops: ReadonlyMap<string, Handler>): void {
  const prints = new Prints();
  captureConsole(prints);
  globalThis.addEventListener("message", (event) => {
    const { data, ports: [port] } = event as MessageEvent<ThreadStart>;
    if (port) start(ops, data, { port, prints });
  }, { once: true });
}

function start(
  ops: ReadonlyMap<string, Handler>,
  { table: buffer, workers, row: index }: ThreadStart,
  { port, prints }: { port: MessagePort; prints: Prints },
): void {
  const table = new TaskTable(workers, buffer);
  const row = table.row(index);
  const report = port.postMessage.bind(port) as (report: ThreadReport) => void;
  const results = new ResultWriter(table.resultArea(index), row);
  const area = new LogWriter(table.logArea(index), row);
  const outlet = new LogOutlet({
    area,
    send: (line) => {
      row.countSent();
      report({ said: line, logEnd: area.end });
    },
  });
  prints.stray = strayPrinter((text) => report({ stray: text }));
  const { stray } = prints;
  const loop = prints.loop = new TaskLoop({ row, results, outlet, stray, ops, report });
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
