/** The worker's side of inspect_message.ts. */

import type { SchemaFault } from "../protocol/work_message.ts";
import type { CheckOrder, InspectReport, InspectStart } from "./inspect_message.ts";
import { LoadFault } from "./load_fault.ts";
import { faultOf } from "./schema.ts";
import { type LoadedOp, loadTaskModules } from "./task_modules.ts";

/** Loads the task files, tells of their ops, and checks arguments from then on. */
export async function inspectTasks({ inspect }: InspectStart, port: MessagePort): Promise<void> {
  const report = (message: InspectReport) => port.postMessage(message);
  let ops: Map<string, LoadedOp>;
  try {
    ops = await loadTaskModules(inspect, (index) => report({ loading: index }));
  } catch (error) {
    if (!(error instanceof LoadFault)) throw error;
    return report({ fault: error.message });
  }
  port.onmessage = async ({ data }: MessageEvent<CheckOrder>) => {
    const faults = await Promise.all(data.submits.map(([op, line]) => check(ops.get(op), line)));
    report({ checked: data.check, faults });
  };
  report({
    ops: [...ops.values()].map(({ spec, place, permissions }) => ({
      spec,
      place,
      ...(permissions && { permissions }),
    })),
  });
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
