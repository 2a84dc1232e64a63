/** Entry of the Web Workers: runs tasks of the built-in ops, and of the task files that its first message names. */

import "./primordials.ts";
import { BUILTIN_OPS } from "./ops/builtin.ts";
import { serveTasks } from "./worker/serve_tasks.ts";

serveTasks(BUILTIN_OPS);
