/** The accounts of all tasks of a run, and what went wrong with them. */

import type { End } from "./ending.ts";
import { Account } from "./account.ts";
import { Faults } from "./faults.ts";
import type { PlannedTask } from "./planned_task.ts";

export class Book {
  readonly faults = new Faults();
  readonly accounts = new Map<number, Account>();
  /** Of servers and worker processes together. */
  kills = 0;
  /** Lines that clients sent, by what they asked. */
  readonly asked = new Map<string, number>();
  /** Codes of refusals that the run brings about, and any command may get. */
  readonly expected = new Set<string>();
  /** Refusals by code. */
  readonly refusals = new Map<string, number>();

  account(planned: PlannedTask, client: number): Account {
    let account = this.accounts.get(planned.serial);
    if (!account) {
      account = new Account(planned, client);
      account.killsBefore = this.kills;
      this.accounts.set(planned.serial, account);
    }
    return account;
  }

  observe(account: Account, end: End): void {
    account.observe(end, this);
  }

  count(kind: string): void {
    this.asked.set(kind, (this.asked.get(kind) ?? 0) + 1);
  }

  refuse(code: string): void {
    this.refusals.set(code, (this.refusals.get(code) ?? 0) + 1);
  }
}
