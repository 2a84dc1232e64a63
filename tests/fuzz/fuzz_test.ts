/** A short run of the fuzzer with every `deno task test`; `deno task fuzz` makes long ones. */

import { assert, assertEquals } from "@std/assert";
import { forecast } from "./forecast.ts";
import { FuzzConnection } from "./fuzz_connection.ts";
import { FrameMaker } from "./frames.ts";
import { FuzzRun } from "./fuzz_run.ts";
import { newSeed, Random } from "./random.ts";

const FRAMES = 20_000;
/** On a slow machine it sends fewer. */
const SECONDS = 25;

Deno.test("whatever is sent, each line gets its own answer, once, and nothing is left behind", async () => {
  const seed = newSeed();
  try {
    const report = await FuzzRun.start({ seed, frames: FRAMES, connections: 16, seconds: SECONDS });
    assert(report.frames > 500 && report.probes > 1, JSON.stringify(report));
  } catch (error) {
    throw new Error(`deno task fuzz --frames ${FRAMES} --seed ${seed}`, { cause: error });
  }
});

Deno.test("a seed makes the same frames again", () => {
  const [a, b] = [1, 2].map(() => new FrameMaker(new Random(7), "x"));
  for (let i = 0; i < 2000; i++) assertEquals(a!.next(), b!.next());
});

/** A server that says `replies` to the first line; what the fuzzer makes of them. */
async function faultOf(line: string, replies: string): Promise<string | undefined> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const served = (async () => {
    using conn = await listener.accept();
    await conn.read(new Uint8Array(1000));
    await conn.write(new TextEncoder().encode(replies));
    await conn.closeWrite();
    while (await conn.read(new Uint8Array(1000)) !== null);
  })();
  const { hostname, port } = listener.addr as Deno.NetAddr;
  const connection = await FuzzConnection.connect({ hostname, port }, new Map());
  const bytes = new TextEncoder().encode(line + "\n");
  connection.expectLines(bytes);
  await connection.send(bytes);
  const fault = await connection.closedByServer().then(() => undefined, (error) => String(error));
  await connection.cut();
  await served;
  return fault;
}

Deno.test("the fuzzer sees every kind of wrong answer", async () => {
  const square = '{"op":"square","n":4,"ref":1}';
  const ack = '{"task_id":"a","status":"queued","ref":1}\n';
  const final = '{"task_id":"a","status":"completed","result":16,"ref":1}\n';
  assertEquals(await faultOf(square, ack + final), undefined);
  for (
    const replies of [
      "",
      ack,
      final,
      ack + ack,
      ack + final + final,
      ack + final.replace("16", "15"),
      ack + final.replace('"a"', '"b"'),
      ack.replace("1}", "2}") + final,
      ack + final.replace(',"ref":1', ""),
      ack + '{"task_id":"a","status":"queued","result":16,"ref":1}\n',
      ack + '{"task_id":"a","status":"cancelled","ref":1}\n',
      ack + final.replace("\n", ""),
      '{"error":{"code":"bad_request","message":"no"},"ref":1}\n',
      '{"error":{"code":"internal","message":"no"},"ref":1}\n',
      '{"error":{"code":"odd","message":"no"},"ref":1}\n',
      "not JSON\n",
      ack + "[]\n",
    ]
  ) {
    const fault = await faultOf(square, replies);
    assert(fault?.startsWith("Fault"), `${replies} passed as an answer: ${fault}`);
  }
});

Deno.test("the forecast of a line is what the protocol says", () => {
  const of = (line: string) => forecast(new TextEncoder().encode(line));
  assertEquals(of("\r"), { is: "nothing" });
  assertEquals(of("[]"), { is: "refused", ref: undefined, codes: ["bad_json"] });
  assertEquals(of('{"ref":5,"op":"square","n":1e400}'), {
    is: "refused",
    ref: 5,
    codes: ["bad_request"],
  });
  assertEquals(of('{"ref":"r","cmd":"pong"}'), { is: "refused", ref: "r", codes: ["unknown_cmd"] });
  const { outcome, slow } = of('{"op":"square","n":"94906266"}') as {
    outcome: unknown;
    slow: boolean;
  };
  assertEquals([outcome, slow], [{ result: '"9007199326062756"' }, false]);
});
