/**
 * The worker processes that go on with their runs when a link is lost, by the names of the processes. A process that
 * connects again takes the place of its own link before. If that link was lost, the deaths that were counted then were
 * none, and the engine gives them back; so the register remembers them for a while. `Admission` owns it.
 */

/** A work link, as far as the register needs it. */
interface RegisteredLink {
  cutOff(why: string): void;
}

/** Most processes whose lost runs are remembered; the oldest are forgotten first. */
const MAX_LOST = 256;

const NONE: ReadonlySet<number> = new Set();

export class LinkRegister {
  readonly #open = new Map<string, RegisteredLink>();
  /** Lease numbers of runs whose loss was counted as a death. */
  readonly #blamed = new Map<string, ReadonlySet<number>>();
  /** Processes whose task code has reached for a link: none of their runs goes on. */
  readonly #distrusted = new Set<string>();

  /** The link of a process that has connected; ends its link before. */
  enter(instance: string, link: RegisteredLink): void {
    const before = this.#open.get(instance);
    this.#open.set(instance, link);
    before?.cutOff("its process has connected again");
  }

  /** The link has ended. `blamed`: the numbers of runs whose end was counted as a death. */
  leave(instance: string, link: RegisteredLink, blamed: readonly number[]): void {
    if (this.#open.get(instance) === link) this.#open.delete(instance);
    if (blamed.length > 0) remember(this.#blamed, instance, new Set(blamed));
  }

  /** Takes the numbers of runs whose loss was counted as a death of this process. */
  takeBlamed(instance: string): ReadonlySet<number> {
    const blamed = this.#blamed.get(instance) ?? NONE;
    this.#blamed.delete(instance);
    return blamed;
  }

  distrust(instance: string): void {
    this.#distrusted.add(instance);
    for (const oldest of this.#distrusted) {
      if (this.#distrusted.size <= MAX_LOST) break;
      this.#distrusted.delete(oldest);
    }
  }

  /** Whether runs of a process with this name can go on. */
  trusts(instance: string | undefined): boolean {
    return instance !== undefined && !this.#distrusted.has(instance);
  }
}

function remember<Value>(map: Map<string, Value>, name: string, value: Value): void {
  map.delete(name);
  map.set(name, value);
  for (const oldest of map.keys()) {
    if (map.size <= MAX_LOST) return;
    map.delete(oldest);
  }
}
