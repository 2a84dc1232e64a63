/** Entry of the Web Workers: runs tasks of the built-in ops. */

import "./primordials.ts";
import { BUILTIN_OPS } from "./builtin.ts";
import { serveTasks } from "./serve_tasks.ts";

serveTasks(BUILTIN_OPS);
