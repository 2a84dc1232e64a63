/**
 * Task files in a worker: loads them under the guard of the realm, and runs or inspects them. Only a worker with task
 * files loads this module (`serveTasks`), so the built-in ops start quickly.
 */

import type { SchemaFault } from "../../protocol/work_message.ts";
import type { CheckOrder, InspectReport, InspectStart } from "../bridge/thread_message.ts";
import type { Handler } from "../ops/handler.ts";
import { LoadFault } from "../ops/load_fault.ts";
import { schemaFault } from "../ops/schema.ts";
import { type LoadedOp, loadTaskModules, type TaskModule } from "../ops/task_modules.ts";
import { listenForOrders, posterTo } from "./order_port.ts";
import { TaskScope } from "./task_scope.ts";

/** The handlers of task files, and the scope that keeps their runs apart. */
interface LoadedTasks {
  readonly scope: TaskScope;
  readonly handlers: ReadonlyMap<string, Handler>;
}

/** The two ports of a worker; see order_port.ts. */
interface InspectorPorts {
  readonly orders: MessagePort;
  readonly wake: MessagePort;
}

/**
 * Loads `modules`. The worker runs many tasks (`isShared`), or just one. Throws a `LoadFault`.
 *
 * The scope is made first: it guards the realm, and remembers what built-in objects were like, before the first line
 * of a task file runs.
 */
export async function loadTasks(
  modules: readonly TaskModule[],
  { isShared }: { isShared: boolean },
): Promise<LoadedTasks> {
  const scope = new TaskScope({ isShared });
  const loaded = await loadTaskModules(modules);
  const handlers = [...loaded].map(([op, { handler }]) => [op, handler] as const);
  return { scope, handlers: new Map(handlers) };
}

/** Work of the inspector: loads the task files, reports their ops, and then checks arguments for the server. */
export async function inspectTasks(
  { inspect }: InspectStart,
  ports: InspectorPorts,
): Promise<void> {
  new TaskScope({ isShared: false });
  const report = posterTo<InspectReport>(ports.orders);
  let ops = new Map<string, LoadedOp>();
  listenForOrders<CheckOrder>(ports, async ({ check: number, submits }) => {
    const faults = await Promise.all(submits.map(([op, line]) => check(ops.get(op), line)));
    report({ checked: number, faults });
  });
  /** The file that loads now, for an error that does not name its file. */
  let at = 0;
  try {
    ops = await loadTaskModules(inspect, (index) => report({ loading: at = index }));
    report({
      ops: [...ops.values()].map(({ spec, place, permissions }) => ({
        spec,
        place,
        ...(permissions && { permissions }),
      })),
    });
  } catch (error) {
    // The files can have changed built-in objects that all code uses, this code too.
    const file = inspect[at] ?? { url: "", name: "a task file" };
    const { message, missing } = error instanceof LoadFault ? error : LoadFault.of(error, file);
    report({ fault: message, ...(missing !== undefined && { missing }) });
  }
}

/** The fault of the arguments in `line`, or null. The arguments of an unknown op are checked when it runs. */
async function check(op: LoadedOp | undefined, line: string): Promise<SchemaFault | null> {
  if (!op?.schema) return null;
  const { op: _op, ref: _ref, task: _task, ...args } = JSON.parse(line);
  try {
    const checked = await op.schema.check(args);
    return "fault" in checked ? checked.fault : null;
  } catch (error) {
    return schemaFault("", `its schema threw ${String(error)}`);
  }
}
