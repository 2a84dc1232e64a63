/** A task file whose exports stand for all that the types of a client must read. It is never run. */

export interface Point {
  x: number;
  y?: number;
}

export function square({ n }: { n: number }): number {
  return n * n;
}

export async function move(
  { point, by }: { point: Point; by?: number },
  _ctx: { progress(fraction: number): void },
): Promise<Point> {
  await Promise.resolve();
  return { ...point, x: point.x + (by ?? 1) };
}

export const shout = ({ text }: { text: "hi" | "ho" }) => text.toUpperCase();

/** Members that JSON changes or leaves out. */
export function stamp(_args: { zone?: string }) {
  return {
    at: new Date(0),
    places: [1, undefined] as (number | undefined)[],
    note: undefined as string | undefined,
    say: () => "left out",
    pair: ["a", 1] as const,
    nothing: null,
  };
}

export function tick(): void {}

/** The client has a method of this name. */
export function get({ key }: { key: string }): { value: string } {
  return { value: key };
}

export function big(_args: object): bigint {
  return 1n;
}

export function anything(args: unknown): unknown {
  return args;
}

export const LIMIT = 3;
export class Helper {}
export default function (): number {
  return 1;
}
