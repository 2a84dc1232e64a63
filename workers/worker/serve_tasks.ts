/**
 * The start of a worker. The first message brings its ports and its row of the task table, and names the task files to
 * load; then tasks come through the port. The port is reachable from this file only, so task code cannot use it. The
 * entry of the Web Workers calls it.
 */

import { LogRing, ResultRing } from "../bridge/ring_area.ts";
import { type TaskRow, TaskShare } from "../bridge/task_table.ts";
import type {
  InspectStart,
  ThreadOrder,
  ThreadReport,
  ThreadStart,
} from "../bridge/thread_message.ts";
import type { Handler } from "../ops/handler.ts";
import { closeWorker, hasOwn, now } from "../primordials.ts";
import { captureConsole, Prints, strayPrinter } from "./console_capture.ts";
import { LogOutlet } from "./log_outlet.ts";
import { listenForOrders, posterTo } from "./order_port.ts";
import { TaskLoop } from "./task_loop.ts";
import type { TaskScope } from "./task_scope.ts";

/**
 * Runs tasks of these ops, and of the ops in the task files that the first message names, from now on. Called once, by
 * the entry of a Web Worker.
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
  if ("inspect" in message) {
    const { inspectTasks } = await import("./load_tasks.ts");
    return await inspectTasks(message, { orders: port, wake });
  }
  // Everything that task code must not reach is made before any task code loads.
  const report = posterTo<ThreadReport>(port);
  const share = new TaskShare(message.share);
  const { row } = share;
  const results = new ResultRing(share.results, row);
  const outlet = outletTo(new LogRing(share.log, row), { row, report });
  const stray = prints.stray = strayPrinter((text) => report({ strayed: text }));
  const loopOf = (ops: ReadonlyMap<string, Handler>, scope?: TaskScope) =>
    prints.loop = new TaskLoop({ row, results, outlet, stray, ops, report, scope });
  let loop: TaskLoop | undefined;
  const obey = (order: ThreadOrder) => {
    // Own members only: task code can have added members to all objects.
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
    const { loadTasks } = await import("./load_tasks.ts");
    try {
      const { scope, handlers } = await loadTasks(message.modules, { isShared: !message.isolate });
      loop = loopOf(new Map([...builtin, ...handlers]), scope);
    } catch (error) {
      return report({ broken: error instanceof Error ? error.message : String(error) });
    }
  }
  report({ ready: now() });
}

/** The outlet of log lines; a line that does not fit into the ring goes by message. */
function outletTo(
  area: LogRing,
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
