/** `echo {data}` → data: shows that a task arrives and its result comes back. */

export function echo({ data }: Record<string, unknown>): unknown {
  return data ?? null;
}
