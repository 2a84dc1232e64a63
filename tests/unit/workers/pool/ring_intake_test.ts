/** What a worker says of its tasks, held against the tasks that it was given. */

import { assert, assertEquals } from "@std/assert";
import { leasedTaskLine, resultLine } from "../../../../protocol/work_message.ts";
import { ResultRing, RingReader } from "../../../../workers/bridge/ring_area.ts";
import { endsOfResults, ResultIntake } from "../../../../workers/pool/ring_intake.ts";
import { TaskShare } from "../../../../workers/bridge/task_table.ts";

const task = (lease: number) =>
  leasedTaskLine(lease, { attempt: 1, timeoutMs: 1000, id: "t", payload: '{"op":"a"}' });
const TASKS = [7, 70, 8].map(task);
const bytesOf = (...lines: string[]) =>
  new TextEncoder().encode(lines.map((line) => `${line}\n`).join(""));

Deno.test("results belong to the tasks, in their order, one each", () => {
  const [seven, seventy, eight] = [7, 70, 8].map((lease) => resultLine(lease, '"x"'));
  const right = bytesOf(seven!, seventy!, eight!);
  assertEquals(endsOfResults(right, TASKS)?.at(-1), right.length);
  assertEquals(endsOfResults(bytesOf(), []), []);
  const wrong = [
    bytesOf(seventy!, seven!, eight!),
    bytesOf(seven!, seventy!),
    bytesOf(seven!, seventy!, eight!, eight!),
    bytesOf(seven!, seven!, eight!),
    right.subarray(0, -1),
    bytesOf(seven!, seventy!, resultLine(80, "1")),
    bytesOf(seven!, seventy!, '{"release":[9]}'),
    bytesOf(seven!, seventy!, ""),
    new Uint8Array(right.length),
  ];
  for (const bytes of wrong) assertEquals(endsOfResults(bytes, TASKS), undefined);
});

function newIntake() {
  const { row, results: ring } = new TaskShare();
  const passed: string[] = [];
  const decoder = new TextDecoder();
  const sink = {
    isFull: false,
    write: (bytes: Uint8Array) => void passed.push(decoder.decode(bytes)),
    line: (text: string) => void passed.push(text),
  };
  const writer = new ResultRing(ring, row);
  return {
    writer,
    passed,
    intake: new ResultIntake(RingReader.ofResults(ring, row), { sink, isChecked: true }),
  };
}

Deno.test("if one checked result is wrong, none is passed on", () => {
  const { writer, passed, intake } = newIntake();
  const [first, second] = [task(1), task(2)];
  assert(writer.writeResult(1, "11"));
  assert(writer.writeResult(3, "33"));
  assert(!intake.take(writer.end, { lines: [first, second], line: undefined, dropLast: false }));
  assertEquals(passed, []);
});

Deno.test("checked results end at the reported position, which must be in the ring", () => {
  for (const end of [-1, 65_537, 10_000_000, -(2 ** 31)]) {
    const { passed, intake } = newIntake();
    assert(!intake.take(end, { lines: [task(1)], line: undefined, dropLast: false }));
    assertEquals(passed, []);
  }
});

Deno.test("a result by message is the last task's own, in one line", () => {
  const done = { lines: [task(1), task(2)], dropLast: false };
  const large = resultLine(2, '"large"');
  for (const line of [resultLine(1, "1"), resultLine(3, "3"), `${large}\n${large}`, "{}", ""]) {
    const { writer, passed, intake } = newIntake();
    assert(writer.writeResult(1, "11"));
    assert(!intake.take(writer.end, { ...done, line }), line);
    assertEquals(passed, []);
  }
  const { writer, passed, intake } = newIntake();
  assert(writer.writeResult(1, "11"));
  assert(intake.take(writer.end, { ...done, line: large }));
  assertEquals(passed, [`${resultLine(1, "11")}\n`, large]);
});

Deno.test("the result of a stopped task is checked, and dropped", () => {
  const { writer, passed, intake } = newIntake();
  assert(writer.writeResult(1, "11"));
  assert(writer.writeResult(2, "22"));
  assert(intake.take(writer.end, { lines: [task(1), task(2)], line: undefined, dropLast: true }));
  assert(writer.writeResult(3, "33"));
  assert(intake.take(writer.end, { lines: [task(3)], line: undefined, dropLast: true }));
  assertEquals(passed, [`${resultLine(1, "11")}\n`]);
});
