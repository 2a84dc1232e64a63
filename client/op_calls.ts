/**
 * `client.square({ n: 7 })`: a name that a client does not have is the name of an op. It works by the end of the
 * prototype chain, which only such names reach, so what a client has of its own costs nothing more.
 */

interface Runs {
  run(op: string, args?: object, options?: object): Promise<unknown>;
}

/**
 * Names that are no ops here: whatever is awaited is asked for `then`, whatever is put into JSON for `toJSON`.
 * An op with such a name is called by `run`.
 */
const NOT_CALLED: ReadonlySet<PropertyKey> = new Set(["then", "toJSON", "default"]);

const calls = new Proxy({}, {
  get(target, name, client: Runs): unknown {
    if (typeof name === "symbol" || name in target || NOT_CALLED.has(name)) {
      return Reflect.get(target, name, client);
    }
    return (args?: object, options?: object) => client.run(name, args, options);
  },
});

/** From now on the objects of `prototype`, which inherits from none, call ops by their names. */
export function callOpsByName(prototype: Runs): void {
  Object.setPrototypeOf(prototype, calls);
}
