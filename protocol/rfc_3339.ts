/** Times as they travel: RFC 3339, like `2030-01-31T08:00:00Z`. Pure. */

const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;

/** Milliseconds since 1970; `NaN` where `value` is no such time. */
export function parseRfc3339(value: unknown): number {
  return typeof value === "string" && RFC_3339.test(value) ? Date.parse(value) : NaN;
}
