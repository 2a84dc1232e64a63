/** A program that leads on the Redis of its first argument until it is killed. It prints a line when it leads. */

import { leadOf, server } from "../contract/redis_stage.ts";
import { openRedis } from "../../server/engine/redis/open_redis.ts";

const shared = await openRedis(Deno.args[0]!);
const lead = await leadOf(shared, server({ name: "victim" }));
setInterval(() => void lead.renew(), 1000);
await Deno.stdout.write(new TextEncoder().encode(`leads ${lead.epoch}\n`));
