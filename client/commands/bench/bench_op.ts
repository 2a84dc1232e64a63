/** The ops of the bench: the request of each as bytes, and its correct result. */

export const BENCH_OPS = ["square", "echo", "sleep", "hash"] as const;
type BenchOpName = typeof BENCH_OPS[number];

/** A task of the bench. Its request is `head`, the number, `tail`, its ref, and `}`. */
export interface BenchOp {
  name: BenchOpName;
  head: Uint8Array;
  /** The bytes between number and ref; `undefined` if all requests are the same and the ref follows `head`. */
  tail: Uint8Array | undefined;
  /** The number of the task with this ref. */
  numberOf(ref: number): number;
  /** The correct result for a number, if the result is a number. */
  answerOf(n: number): number;
  /** The JSON of the correct result, if it is the same for all tasks. */
  answer: Uint8Array | undefined;
}

/** The largest base of a square that a JSON number holds exactly. */
const MAX_BASE = 94_906_265;
const TAIL = ',"ref":';
const encoder = new TextEncoder();

/** The op of that name; `ms` is for `sleep`, `rounds` for `hash`. */
export async function benchOp(
  name: BenchOpName,
  { ms, rounds }: { ms: number; rounds: number },
): Promise<BenchOp> {
  switch (name) {
    case "square":
      return numbered({
        name,
        head: '{"op":"square","n":',
        numberOf: (ref) => ref % (MAX_BASE + 1),
        answerOf: (n) => n * n,
      });
    case "echo":
      return numbered({
        name,
        head: '{"op":"echo","data":',
        numberOf: (ref) => ref,
        answerOf: (n) => n,
      });
    case "sleep":
      return constant(name, { head: `{"op":"sleep","ms":${ms}`, answer: String(ms) });
    case "hash":
      return constant(name, {
        head: `{"op":"hash","data":"sd","rounds":${rounds}`,
        answer: JSON.stringify(await hashRounds("sd", rounds)),
      });
  }
}

interface Numbered {
  name: BenchOpName;
  head: string;
  numberOf(ref: number): number;
  answerOf(n: number): number;
}

function numbered({ head, ...rest }: Numbered): BenchOp {
  return { ...rest, head: encoder.encode(head), tail: encoder.encode(TAIL), answer: undefined };
}

function constant(
  name: BenchOpName,
  { head, answer }: { head: string; answer: string },
): BenchOp {
  return {
    name,
    head: encoder.encode(head + TAIL),
    tail: undefined,
    numberOf: (ref) => ref,
    answerOf: () => NaN,
    answer: encoder.encode(answer),
  };
}

/** SHA-256 of `data` in hex; each round after the first hashes the 32 bytes before it. */
async function hashRounds(data: string, rounds: number): Promise<string> {
  const { createHash } = await import("node:crypto");
  let digest = createHash("sha256").update(data, "utf8").digest();
  for (let round = 2; round <= rounds; round++) {
    digest = createHash("sha256").update(digest).digest();
  }
  return digest.toString("hex");
}
