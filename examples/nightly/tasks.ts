/** Reads the sales of a day, sums them up, and writes a report. */
/// <reference path="../starter/sd.d.ts" />

/** A sale: a line like `espresso,2.40`. */
type Sale = [product: string, price: string];

/** Without `day`, reports on the day before the scheduled time of the task, even if the task runs later. */
export async function daily_report({ day }: { day?: string }, ctx: TaskContext) {
  const date = day ?? dayBefore(ctx.id.slice(ctx.id.indexOf(":") + 1));
  const text = await Deno.readTextFile(`sales/${date}.csv`);
  const sales = text.trim().split("\n").map((line) => line.split(",") as Sale);
  const sums: Record<string, number> = {};
  for (const [product, price] of sales) {
    sums[product] = Math.round(((sums[product] ?? 0) + Number(price)) * 100) / 100;
  }
  await Deno.writeTextFile(`reports/${date}.json`, JSON.stringify(sums, null, 2) + "\n");
  return { date, sales: sales.length, sums };
}
daily_report.options = { attempts: 3, backoff: "1m" } satisfies TaskOptions;

function dayBefore(time: string): string {
  return new Date(Date.parse(time) - 24 * 3_600_000).toISOString().slice(0, 10);
}
