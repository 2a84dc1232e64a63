/** Prints tasks, one a line: a thousand that count primes, and one after them that adds up the results. */

const TASKS = 1000;
const size = Number(Deno.args[0] ?? 100_000_000) / TASKS;

const ids = Array.from({ length: TASKS }, (_, i) => `primes-${i}`);
const lines = [
  ...ids.map((id, i) => ({
    op: "count_primes",
    from: i * size,
    to: (i + 1) * size,
    task: { id, wait: false },
  })),
  { op: "total", task: { id: "primes", after: ids } },
].map((task) => JSON.stringify(task));
await new Blob([lines.join("\n"), "\n"]).stream().pipeTo(Deno.stdout.writable);
