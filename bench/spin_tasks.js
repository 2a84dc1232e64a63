/**
 * The task of `dispatch.ts`: computes and does nothing else. Without garbage, so that no thread of the runtime
 * helps it, which would need a processor of its own.
 */
export function spin({ n }) {
  let x = 1;
  for (let i = 0; i < n; i++) x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
  return x;
}
