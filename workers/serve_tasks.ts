/**
 * The worker's side of its port: takes its row of the task table and the port from the first message,
 * loads the task files that it names, then runs what comes through the port. The port stays in here, so
 * task code cannot speak for it.
 */

import type { Handler } from "./handler.ts";
import type { InspectStart } from "./inspect_message.ts";
import { closeWorker, defineProperty, now } from "./primordials.ts";
import { ResultWriter } from "./result_area.ts";
import { TaskLoop } from "./task_loop.ts";
import { TaskShare } from "./task_table.ts";
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
    shield(port);
    const { TaskScope } = await import("./task_scope.ts");
    new TaskScope({ isShared: false });
    const { inspectTasks } = await import("./inspect_tasks.ts");
    return await inspectTasks(message, port);
  }
  // All that task code must not reach is made and taken before there is any.
  const report = port.postMessage.bind(port) as (report: ThreadReport) => void;
  const { row, resultArea } = new TaskShare(message.share);
  const results = new ResultWriter(resultArea, row);
  let loop: TaskLoop | undefined;
  port.onmessage = ({ data }: MessageEvent<ThreadOrder>) => {
    if ("lines" in data) loop?.push(data.seq, data.lines);
    else if ("stop" in data) loop?.stop(data.stop, data.reason);
    else if ("live" in data) row.beat();
    else {
      row.setClosed();
      closeWorker();
    }
  };
  if (message.modules.length === 0) {
    loop = new TaskLoop({ row, results, ops: builtin, report });
  } else {
    shield(port);
    const { TaskScope } = await import("./task_scope.ts");
    const scope = new TaskScope({ isShared: !message.isolate });
    const { loadTaskModules } = await import("./task_modules.ts");
    try {
      const loaded = await loadTaskModules(message.modules);
      const handlers = [...loaded].map(([op, { handler }]) => [op, handler] as const);
      loop = new TaskLoop({ row, results, ops: new Map([...builtin, ...handlers]), report, scope });
    } catch (error) {
      return report({ broken: error instanceof Error ? error.message : String(error) });
    }
  }
  report({ ready: now() });
}

/** Keeps to itself what the runtime calls on the port with each message, whatever is inherited then. */
function shield(port: MessagePort): void {
  for (const name of ["dispatchEvent", "getParent", "addEventListener"] as const) {
    defineProperty(port, name, { value: (port as unknown as Record<string, unknown>)[name] });
  }
}
