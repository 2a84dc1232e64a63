/** The worker's side of inspect_message.ts. */

import type { SchemaFault } from "../../protocol/work_message.ts";
import type { CheckOrder, InspectReport, InspectStart } from "../bridge/inspect_message.ts";
import { listenForOrders, posterTo } from "./order_port.ts";
import { LoadFault } from "../ops/load_fault.ts";
import { faultOf } from "../ops/schema.ts";
import { type LoadedOp, loadTaskModules } from "../ops/task_modules.ts";

/** Loads the task files, tells of their ops, and checks arguments from then on. */
export async function inspectTasks(
  { inspect }: InspectStart,
  ports: { orders: MessagePort; wake: MessagePort },
): Promise<void> {
  const report = posterTo<InspectReport>(ports.orders);
  let ops = new Map<string, LoadedOp>();
  listenForOrders<CheckOrder>(ports, async ({ check: number, submits }) => {
    const faults = await Promise.all(submits.map(([op, line]) => check(ops.get(op), line)));
    report({ checked: number, faults });
  });
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
    // The files may have changed what all code is made of, ours as well.
    const file = inspect[at] ?? { url: "", name: "a task file" };
    const { message, missing } = error instanceof LoadFault ? error : LoadFault.of(error, file);
    report({ fault: message, ...(missing !== undefined && { missing }) });
  }
}

/** What is wrong with the arguments in `line`; an op that is not known here is checked when it runs. */
async function check(op: LoadedOp | undefined, line: string): Promise<SchemaFault | null> {
  if (!op?.schema) return null;
  const { op: _op, ref: _ref, task: _task, ...args } = JSON.parse(line);
  try {
    const checked = await op.schema.check(args);
    return "fault" in checked ? checked.fault : null;
  } catch (error) {
    return faultOf("", `its schema threw ${String(error)}`);
  }
}
