/**
 * The worker's side of its port: takes its row of the task table and the port from the first message,
 * loads the task files that it names, then runs what comes through the port. The port stays in here, so
 * task code cannot speak for it.
 */

import { captureConsole } from "./console_capture.ts";
import type { Handler } from "../ops/handler.ts";
import type { InspectStart } from "../bridge/inspect_message.ts";
import { LogWriter } from "../bridge/log_area.ts";
import { LogOutlet } from "./log_outlet.ts";
import { listenForOrders, posterTo } from "./order_port.ts";
import { closeWorker, hasOwn, now } from "../primordials.ts";
import { Prints } from "./prints.ts";
import { ResultWriter } from "../bridge/result_area.ts";
import { strayPrinter } from "./stray_printer.ts";
import { TaskLoop } from "./task_loop.ts";
import type { TaskScope } from "./task_scope.ts";
import { type TaskRow, TaskShare } from "../bridge/task_table.ts";
import type { ThreadOrder, ThreadReport, ThreadStart } from "../bridge/thread_message.ts";

/**
 * Runs tasks of these ops, and of those in the task files that the first message names, from now on.
 * Called once, by the entry of a Web Worker.
 */
export function serveTasks(ops: ReadonlyMap<string, Handler>): void {
  const prints = new Prints();
  captureConsole(prints);
  globalThis.addEventListener("message", (event) => {
    const { data, ports: [port, wake] } = event as MessageEvent<ThreadStart | InspectStart>;
    if (port && wake) void begin(ops, data, { port, wake, prints });
  }, { once: true });
}

async function begin(
  builtin: ReadonlyMap<string, Handler>,
  message: ThreadStart | InspectStart,
  { port, wake, prints }: { port: MessagePort; wake: MessagePort; prints: Prints },
): Promise<void> {
  // What only workers with task files need is only loaded there.
  if ("inspect" in message) {
    const { TaskScope } = await import("./task_scope.ts");
    new TaskScope({ isShared: false });
    const { inspectTasks } = await import("./inspect_tasks.ts");
    return await inspectTasks(message, { orders: port, wake });
  }
  // All that task code must not reach is made and taken before there is any.
  const report = posterTo<ThreadReport>(port);
  const { row, resultArea, logArea } = new TaskShare(message.share);
  const results = new ResultWriter(resultArea, row);
  const outlet = outletTo(new LogWriter(logArea, row), { row, report });
  const stray = prints.stray = strayPrinter((text) => report({ strayed: text }));
  const loopOf = (ops: ReadonlyMap<string, Handler>, scope?: TaskScope) =>
    prints.loop = new TaskLoop({ row, results, outlet, stray, ops, report, scope });
  let loop: TaskLoop | undefined;
  const obey = (order: ThreadOrder) => {
    // Its own members only: code of others may have given every object more.
    if (hasOwn(order, "lines")) {
      const { seq, lines } = order as Extract<ThreadOrder, { lines: string }>;
      loop?.push(seq, lines);
    } else if (hasOwn(order, "stop")) {
      const { stop, reason } = order as Extract<ThreadOrder, { stop: number }>;
      loop?.stop(stop, reason);
    } else if (hasOwn(order, "live")) row.beat();
    else {
      row.setClosed();
      closeWorker();
    }
  };
  if (message.modules.length === 0) {
    port.onmessage = ({ data }: MessageEvent<ThreadOrder>) => obey(data);
    loop = loopOf(builtin);
  } else {
    listenForOrders({ orders: port, wake }, obey);
    const { TaskScope } = await import("./task_scope.ts");
    const scope = new TaskScope({ isShared: !message.isolate });
    const { loadTaskModules } = await import("../ops/task_modules.ts");
    try {
      const loaded = await loadTaskModules(message.modules);
      const handlers = [...loaded].map(([op, { handler }]) => [op, handler] as const);
      loop = loopOf(new Map([...builtin, ...handlers]), scope);
    } catch (error) {
      return report({ broken: error instanceof Error ? error.message : String(error) });
    }
  }
  report({ ready: now() });
}

/** What has no room in the area goes by message. */
function outletTo(
  area: LogWriter,
  { row, report }: { row: TaskRow; report: (report: ThreadReport) => void },
): LogOutlet {
  return new LogOutlet({
    area,
    send: (line) => {
      row.countSent();
      report({ said: line, logEnd: area.end });
    },
  });
}
