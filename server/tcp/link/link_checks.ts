/** The checks of arguments that a worker process was asked for, each until it has answered or gone. */

import type { PoolReport, SchemaFault, ServerOrder } from "../../../protocol/work_message.ts";
import type { UncheckedSubmit } from "../../dispatch/runner.ts";

type Checked = Extract<PoolReport, { checked: number }>;
type Faults = readonly (SchemaFault | null)[];

interface Asked {
  readonly count: number;
  readonly resolve: (faults: Faults | undefined) => void;
}

export class LinkChecks {
  readonly #order: (order: ServerOrder) => void;
  readonly #asked = new Map<number, Asked>();
  #number = 0;
  #isCut = false;

  constructor(order: (order: ServerOrder) => void) {
    this.#order = order;
  }

  /** Of each submit its fault, or null; nothing where the process goes, or answers something else. */
  ask(submits: readonly UncheckedSubmit[]): Promise<Faults | undefined> {
    if (this.#isCut) return Promise.resolve(undefined);
    const check = ++this.#number;
    this.#order({ check, submits: submits.map(([op, line]) => [op, line]) });
    return new Promise((resolve) => {
      this.#asked.set(check, { count: submits.length, resolve });
    });
  }

  take({ checked, faults }: Checked): void {
    const asked = this.#asked.get(checked);
    if (!asked) return;
    this.#asked.delete(checked);
    const isAnswer = Array.isArray(faults) && faults.length === asked.count &&
      faults.every(isFault);
    asked.resolve(isAnswer ? faults : undefined);
  }

  cut(): void {
    this.#isCut = true;
    for (const { resolve } of this.#asked.values()) resolve(undefined);
    this.#asked.clear();
  }
}

function isFault(fault: unknown): fault is SchemaFault | null {
  if (fault === null) return true;
  if (typeof fault !== "object") return false;
  const { path, message } = fault as Partial<SchemaFault>;
  return typeof path === "string" && typeof message === "string";
}
