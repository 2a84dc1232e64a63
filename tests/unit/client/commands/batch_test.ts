/** The parts of `sd submit` with many lines: sets of lines, CSV, lines at their limits, order, journals. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { ClientError } from "../../../../net/client_error.ts";
import { say } from "../../../../cli/talk.ts";
import { isPlainNumber } from "../../../../client/commands/batch/csv_format.ts";
import { RowJoiner, scanRow } from "../../../../client/commands/batch/csv_rows.ts";
import { readJournal } from "../../../../client/commands/batch/journal_reader.ts";
import { lineFormat, type Reading } from "../../../../client/commands/batch/line_format.ts";
import { LineSet } from "../../../../client/commands/batch/line_set.ts";
import { ProgressBar, type Stand } from "../../../../client/commands/batch/progress.ts";
import { InOrder } from "../../../../client/commands/batch/result_writer.ts";
import { lineBatches, type NumberedLine } from "../../../../client/commands/input/task_lines.ts";
import { Random } from "../../../fuzz/random.ts";

const CSV: Reading = { op: "x", arg: "data", csv: true, separator: ",", strings: false };

/** `text` in pieces of `size` bytes. */
function inPieces(text: string, size: number): ReadableStream<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  const pieces = Array.from(
    { length: Math.ceil(bytes.length / size) },
    (_, i) => bytes.slice(i * size, (i + 1) * size),
  );
  return ReadableStream.from(pieces);
}

async function linesOf(text: string, size: number, maxBytes: number): Promise<NumberedLine[]> {
  const lines: NumberedLine[] = [];
  for await (const batch of lineBatches(inPieces(text, size), { maxBytes })) {
    lines.push(...batch.lines);
  }
  return lines;
}

/** Rows of CSV as they come to the server, or why they do not. */
async function rowsOf(text: string, reading: Partial<Reading> = {}): Promise<[number, string][]> {
  const format = lineFormat({ ...CSV, ...reading });
  const rows: [number, string][] = [];
  for await (const { lines } of format.gather(lineBatches(inPieces(text, 5)))) {
    for (const { number, text, fault } of lines) {
      try {
        const json = text === null ? fault : format.read(text, { id: "i" }).json;
        rows.push([number, json?.replace(',"task":{"id":"i"}', "") ?? ""]);
      } catch (error) {
        rows.push([number, (error as Error).message]);
      }
    }
  }
  return rows;
}

Deno.test("a set of lines holds added lines as ranges, in any order", () => {
  const seed = Date.now() >>> 0;
  const random = new Random(seed);
  for (let round = 0; round < 200; round++) {
    const set = new LineSet();
    const plain = new Set<number>();
    for (let i = 0; i < 40; i++) {
      const first = random.int(1, 60);
      const last = random.chance(0.7) ? first : random.int(first, Math.min(60, first + 9));
      set.addRange(first, last);
      for (let line = first; line <= last; line++) plain.add(line);
    }
    const lines = Array.from({ length: 62 }, (_, line) => line);
    assertEquals(lines.filter((line) => set.has(line)), lines.filter((line) => plain.has(line)));
    assertEquals(set.count, plain.size, `seed ${seed}`);
    const copy = LineSet.parse(set.toString());
    assertEquals([copy.toString(), copy.count], [set.toString(), set.count]);
  }
  const set = new LineSet();
  for (let line = 1; line <= 1000; line++) set.add(line);
  assertEquals(set.toString(), "1-1000");
  for (const bad of ["x", "0", "3-2", "1,,2", "1-"]) {
    assertThrows(() => LineSet.parse(bad), SyntaxError);
  }
});

Deno.test("only the line that is too long is lost, for every cut of the reads", async () => {
  const text = "\ufeffone\r\n" + "x".repeat(9) + "\n\n" + "y".repeat(8) + "\n" + "z".repeat(40) +
    "\nlast\n" + "w".repeat(9);
  for (let size = 1; size < 80; size++) {
    const lines = await linesOf(text, size, 8);
    assertEquals(
      lines.map(({ number, text, fault }) => [number, text ?? fault?.slice(0, 14)]),
      [
        [1, "one"],
        [2, "is longer than"],
        [3, ""],
        [4, "yyyyyyyy"],
        [5, "is longer than"],
        [6, "last"],
        [7, "is longer than"],
      ],
      `reads of ${size}`,
    );
  }
});

Deno.test("rows of CSV: quotes, line breaks, numbers, empty cells, faults of a row", async () => {
  const text = 'n,b\r\n7,x\n"a ""q""\nb",-1.50\n\n,\n1\n2,5\'10"\n3,"a"b\n4,"end';
  assertEquals(await rowsOf(text), [
    [2, '{"op":"x","n":7,"b":"x"}'],
    [3, '{"op":"x","n":"a \\"q\\"\\nb","b":-1.50}'],
    [6, '{"op":"x"}'],
    [7, "the row has 1 cells, the first row names 2"],
    [8, "the row is not CSV: there is a misplaced quote at column 7"],
    [9, "the row is not CSV: there is a misplaced quote at column 5"],
    [10, "has a quoted cell that does not end"],
  ]);
  assertEquals(await rowsOf("n;b\n7;8\n", { separator: ";", strings: true }), [
    [2, '{"op":"x","n":"7","b":"8"}'],
  ]);
  assertEquals(await rowsOf("op,__proto__\na,1\n,2\n", { op: undefined }), [
    [2, '{"op":"a","__proto__":1}'],
    [3, "the row names no op"],
  ]);
});

Deno.test("a wrong quote makes its own line faulty, and no later line", async () => {
  assertEquals(await rowsOf('n,b\na 5" nail,"x"\n1,2\n'), [
    [2, "the row is not CSV: there is a misplaced quote at column 4"],
    [3, '{"op":"x","n":1,"b":2}'],
  ]);
  assertEquals(await rowsOf('n,b\n1,"open\n2,x\n3,"also\n4,"a\nb"\n5,\rx\n'), [
    [2, "has a quoted cell that goes wrong in line 4"],
    [3, '{"op":"x","n":2,"b":"x"}'],
    [4, "has a quoted cell that goes wrong in line 5"],
    [5, '{"op":"x","n":4,"b":"a\\nb"}'],
    [7, "the row has a carriage return outside quotes"],
  ]);
});

Deno.test("every line of any text appears once: as a row, within a row, or as a fault", () => {
  const seed = Number(Deno.env.get("SD_SEED") ?? Date.now() >>> 0);
  const random = new Random(seed);
  for (let round = 0; round < 3000; round++) {
    const pieces = Array.from(
      { length: random.int(1, 30) },
      () => random.pick(['"', ",", "\n", "a", '""']),
    );
    const lines = pieces.join("").split("\n").map((text, i) => ({ number: i + 1, text }));
    const joiner = new RowJoiner(",");
    const rows = [...lines.flatMap((line) => joiner.add(line)), ...joiner.end()];
    const told = rows.flatMap(({ number, text }) =>
      Array.from({ length: text === null ? 1 : text.split("\n").length }, (_, i) => number + i)
    );
    assertEquals(told, lines.map(({ number }) => number), `seed ${seed}: ${JSON.stringify(lines)}`);
  }
});

Deno.test("written CSV is read unchanged, with quotes and line breaks in cells", () => {
  const random = new Random(7);
  for (let round = 0; round < 500; round++) {
    const rows = Array.from(
      { length: 5 },
      () =>
        Array.from(
          { length: 3 },
          () =>
            Array.from({ length: random.int(0, 6) }, () => random.pick(['"', ";", "\n", "a", " "]))
              .join(""),
        ),
    );
    const written = rows.map((row) =>
      row.map((cell) => /["\n;]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell).join(";")
    ).join("\n");
    const joiner = new RowJoiner(";");
    const lines = written.split("\n").map((text, i) => ({ number: i + 1, text }));
    const read = [...lines.flatMap((line) => joiner.add(line)), ...joiner.end()];
    assertEquals(
      read.map(({ text }) => scanRow(text ?? "", ";")),
      rows.map((cells) => ({ cells })),
    );
  }
});

Deno.test("a cell is a number if a double keeps all its digits", () => {
  for (const cell of ["0", "-7", "1.50", "123456789012345", "-0.001"]) {
    assert(isPlainNumber(cell), cell);
  }
  for (
    const cell of ["007", "+1", "1e9", ".5", "1.", "1234567890123456", "--1", "1 ", "0x1", "٣"]
  ) {
    assert(!isPlainNumber(cell), cell);
  }
});

Deno.test("columns without an op, repeated or reserved are refused", async () => {
  const refusal = async (header: string, reading: Partial<Reading> = {}) => {
    try {
      await rowsOf(`${header}\n1,2\n`, reading);
      return "none";
    } catch (error) {
      assert(error instanceof ClientError, String(error));
      return error.message;
    }
  };
  assert((await refusal("a,b", { op: undefined })).includes('no column is called "op"'));
  assert((await refusal("a,a")).startsWith('two columns are called "a"'));
  assert((await refusal("a;b")).startsWith("the first row names one column"));
  assert((await refusal("a\tb")).startsWith("the first row names one column"));
  assert(
    (await refusal("a,b\r1,2\r")).startsWith("the lines end with a carriage return and no newline"),
  );
  assert(
    (await refusal('"a","b"\r"1","2"')).startsWith(
      "the lines end with a carriage return and no newline",
    ),
  );
  assertEquals(await rowsOf(" n, b\n1,2\n"), [[2, '{"op":"x","n":1,"b":2}']]);
  for (const header of ["a,", "task,a", "a,ref", "op,a"]) {
    assert((await refusal(header)).startsWith("a column cannot be called"), header);
  }
});

Deno.test("ordered results wait for earlier results; after a gap none is printed", () => {
  const result = (line: number) => ({ line, text: `${line}`, failed: false });
  const told = (order: InOrder, turn: number, text: string | undefined = `${turn}`) =>
    order.add(turn, { ...result(turn), text }).map((ready) => ready.text);
  const order = new InOrder({ cutsAtGap: false });
  assertEquals(told(order, 2), []);
  assertEquals(told(order, 0), ["0"]);
  assertEquals(told(order, 1), ["1", "2"]);
  const cut = new InOrder({ cutsAtGap: true });
  assertEquals(told(cut, 1), []);
  assertEquals(cut.add(0, { line: 0, text: undefined, failed: false }).map(({ text }) => text), [
    undefined,
    undefined,
  ]);
  assertEquals(told(cut, 2), [undefined]);
});

Deno.test("a journal is read up to its cut, at every byte", async () => {
  const text = [
    {
      sd: "submit",
      version: 1,
      run: "r",
      file: { bytes: 1, modified: null },
      server: "s",
      reading: "",
    },
    { at: 1, sent: 256 },
    { at: 2, told: "1-9,12", failed: 2 },
    { at: 3, sent: 512 },
    { at: 4, told: "10-11", out: { dev: 1, ino: 2, bytes: 3, length: 4 } },
  ].map((entry) => `${JSON.stringify(entry)}\n`).join("");
  const ends = [...text.matchAll(/\n/g)].map(({ index }) => index);
  for (let cut = 0; cut <= text.length; cut++) {
    const past = await readJournal("j", inPieces(text.slice(0, cut), 16));
    // The newline alone may be missing.
    const entries = ends.filter((end) => end <= cut).length;
    if (entries === 0) {
      assertEquals(past, undefined);
      continue;
    }
    assertEquals(past?.sent, [0, 0, 256, 256, 512, 512][entries]);
    assertEquals(past?.finished.toString(), entries >= 4 ? "1-9,12" : "");
    assertEquals(past?.failed, entries >= 4 ? 2 : 0);
    assertEquals(past?.uncertain?.told, [, , , "1-9,12", undefined, "10-11"][entries]);
    assertEquals(past?.bytes, (ends[entries - 1] ?? 0) + 1);
  }
});

Deno.test("any other file, and a journal of a later release, is refused", async () => {
  for (
    const text of ["\n", "[]\n", "notes", '{"a":1}\n', '{"sd":"submit","version":2,"run":"r"}\n']
  ) {
    try {
      await readJournal("j", inPieces(text, 8));
      throw new Error(`${text} was read`);
    } catch (error) {
      assert(error instanceof ClientError, String(error));
    }
  }
});

Deno.test("the progress bar shows counts and failures, and leaves no line", () => {
  const drawn = (stand: Stand): string => {
    let text = "";
    const decoder = new TextDecoder();
    const set = (key: "writeSync" | "isTerminal", value: unknown) =>
      Object.defineProperty(Deno.stderr, key, { value, configurable: true });
    set("writeSync", (bytes: Uint8Array) => {
      text += decoder.decode(bytes);
      return bytes.length;
    });
    try {
      using _progress = new ProgressBar(() => stand);
      // Not before: the library's first look at a terminal makes the runtime listen for its size.
      set("isTerminal", () => true);
      say("above");
    } finally {
      for (const key of ["writeSync", "isTerminal"]) Reflect.deleteProperty(Deno.stderr, key);
    }
    return text;
  };
  const far = drawn({ done: 1500, failed: 2, total: 3000 });
  assert(far.includes("50%  1,500 done, 0/s, 2 failed"), far);
  assert(far.includes("\r\x1b[Kabove\n"), JSON.stringify(far));
  assert(far.endsWith("\r\x1b[K"), JSON.stringify(far.slice(-20)));
  const endless = drawn({ done: 7, failed: 0, total: undefined });
  assert(endless.includes("[client] 7 done, 0/s") && !endless.includes("%"), endless);
});
