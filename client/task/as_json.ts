/** What TypeScript can say of a value once JSON has carried it from a worker to a client. */

type Atom = string | number | boolean | null;

/** What has no place in JSON: members that are left out. */
type Unsaid = undefined | symbol | ((...args: never[]) => unknown);

/**
 * The type of `JSON.parse(JSON.stringify(value))`: a `Date` is a string, members that are functions are
 * gone, nothing (`undefined`) is `null` where it is the whole or stands in an array. A `bigint` is `never`: no
 * task may return one. Of `unknown` and `any` nothing is known.
 */
export type AsJson<T> = unknown extends T ? unknown
  : T extends Atom ? T
  : T extends bigint ? never
  : T extends Unsaid | void ? null
  : T extends { toJSON(...args: never[]): infer Json } ? AsJson<Json>
  : T extends ReadonlyMap<unknown, unknown> | ReadonlySet<unknown> ? Record<string, never>
  : T extends readonly unknown[] ? { [Index in keyof T]: AsJson<T[Index]> }
  : T extends object ? MembersAsJson<T>
  : never;

type MembersAsJson<T> =
  & { -readonly [Name in SurelySaid<T>]: AsJson<T[Name]> }
  & { -readonly [Name in PerhapsSaid<T>]?: AsJson<Exclude<T[Name], Unsaid>> } extends infer Members
  ? { [Name in keyof Members]: Members[Name] }
  : never;

/** Members that are there, whatever their value. */
type SurelySaid<T> = {
  [Name in keyof T]-?: Name extends string | number
    ? unknown extends T[Name] ? never : Extract<T[Name], Unsaid> extends never ? Name : never
    : never;
}[keyof T];

/** Members that may be left out. One of which nothing is known may be `undefined`. */
type PerhapsSaid<T> = {
  [Name in keyof T]-?: Name extends string | number ? unknown extends T[Name] ? Name
    : Extract<T[Name], Unsaid> extends never ? never
    : Exclude<T[Name], Unsaid> extends never ? never
    : Name
    : never;
}[keyof T];
