/**
 * The worker's side of its port: takes its row of the task table and the port from the first message,
 * loads the task files that it names, then runs what comes through the port. The port stays in here, so
 * task code cannot speak for it.
 */

import type { Handler } from "./handler.ts";
import type { InspectStart } from "./inspect_message.ts";
import { closeWorker, now } from "./primordials.ts";
import { ResultWriter } from "./result_area.ts";
import { TaskLoop } from "./task_loop.ts";
import { TaskTable } from "./task_table.ts";
import type { ThreadOrder, ThreadReport, ThreadStart } from "./thread_message.ts";

/**
 * Runs tasks of these ops, and of those in the task files that the first message names, from now on.
 * Called once, by the entry of a Web Worker.
 */
export function serveTasks(ops: ReadonlyMap<string, Handler>): void {
  globalThis.addEventListener("message", (event) => {
    const { data, ports: [port] } = event as MessageEvent<ThreadStart | InspectStart>;
    if (port) void begin(ops, data, port);
  }, { once: true });
}

async function begin(
  builtin: ReadonlyMap<string, Handler>,
  message: ThreadStart | InspectStart,
  port: MessagePort,
): Promise<void> {
  // What only workers with task files need is only loaded there.
  if ("inspect" in message) {
    const { inspectTasks } = await import("./inspect_tasks.ts");
    return await inspectTasks(message, port);
  }
  const report = port.postMessage.bind(port) as (report: ThreadReport) => void;
  if (message.modules.length === 0) return start(builtin, message, { port, report });
  const { loadTaskModules } = await import("./task_modules.ts");
  try {
    const loaded = await loadTaskModules(message.modules);
    const handlers = [...loaded].map(([op, { handler }]) => [op, handler] as const);
    start(new Map([...builtin, ...handlers]), message, { port, report });
  } catch (error) {
    report({ broken: error instanceof Error ? error.message : String(error) });
  }
}

function start(
  ops: ReadonlyMap<string, Handler>,
  { table: buffer, workers, row: index }: ThreadStart,
  { port, report }: { port: MessagePort; report: (report: ThreadReport) => void },
): void {
  const table = new TaskTable(workers, buffer);
  const row = table.row(index);
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
