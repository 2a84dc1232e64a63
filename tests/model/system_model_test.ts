/** No sequence of events brings a task into a forbidden state. */

import { assert, assertEquals } from "@std/assert";
import { print } from "../../cli/talk.ts";
import { explore, LifeGraph } from "./system_model.ts";

Deno.test("in every reachable state of 3 tasks, 2 workers and 2 clients the rules of leases hold", () => {
  const graph = new LifeGraph();
  assertEquals(graph.stuck(), [], "from every state some end can be reached");
  const { states, steps } = explore(graph);
  print(`${graph.size} states of one task; ${states} of three together, ${steps} steps`);
  assert(states > 100_000, `only ${states} states: the model does not move`);
});
