/** The type of a value after JSON has carried it from a worker to a client. */

type Atom = string | number | boolean | null;

/** Types that JSON leaves out. */
type Unsaid = undefined | symbol | ((...args: never[]) => unknown);

/**
 * The type of `JSON.parse(JSON.stringify(value))`. A `Date` is a string, and members that are functions are left out.
 * `undefined` is `null` as a whole result or in an array. A `bigint` is `never`: a task cannot return one. `unknown` and
 * `any` are `unknown`.
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

/** Members that are always there. */
type SurelySaid<T> = {
  [Name in keyof T]-?: Name extends string | number
    ? unknown extends T[Name] ? never : Extract<T[Name], Unsaid> extends never ? Name : never
    : never;
}[keyof T];

/** Members that JSON can leave out. A member of unknown type can be `undefined`. */
type PerhapsSaid<T> = {
  [Name in keyof T]-?: Name extends string | number ? unknown extends T[Name] ? Name
    : Extract<T[Name], Unsaid> extends never ? never
    : Exclude<T[Name], Unsaid> extends never ? never
    : Name
    : never;
}[keyof T];
