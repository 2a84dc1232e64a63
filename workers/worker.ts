/** Entry of the Web Workers: runs tasks of the built-in ops, and of the task files that it is given. */

import "./primordials.ts";
import { BUILTIN_OPS } from "./builtin.ts";
import { serveTasks } from "./serve_tasks.ts";

serveTasks(BUILTIN_OPS);
