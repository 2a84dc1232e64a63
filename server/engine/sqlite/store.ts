/** TEMPORARY: one connection in this thread. */
import { DatabaseSync } from "node:sqlite";
import {
  FIXED_COLUMNS,
  type Opened,
  STATE_COLUMNS,
  type StoreCall,
  type StoreCalls,
  type StoredTask,
  type Write,
} from "./store_message.ts";

const COLS = [...FIXED_COLUMNS, ...STATE_COLUMNS];
export class Store {
  // deno-lint-ignore no-explicit-any
  #db: any;
  #ins: any;
  #upd: any;
  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#ins = db.prepare(
      `insert into tasks(${COLS.join(",")}) values(${COLS.map(() => "?").join(",")})`,
    );
    this.#upd = db.prepare(
      `update tasks set ${STATE_COLUMNS.map((c) => c + "=?").join(",")} where ord=?`,
    );
  }
  static open(
    { path }: { path: string; durability: string },
  ): Promise<{ store: Store; opened: Opened }> {
    const db = new DatabaseSync(path);
    db.exec(`pragma locking_mode=exclusive; pragma journal_mode=wal; pragma synchronous=full;
     create table if not exists tasks(ord integer primary key, ${COLS.slice(1).join(",")});
     create unique index if not exists gid on tasks(id) where given=1;
     create index if not exists q on tasks(priority,key,op,seq) where status=0;
     create index if not exists d on tasks(runAt) where status=1;
     create index if not exists w on tasks(status) where status=2;
     create table if not exists settings(name primary key, value)`);
    const counts = [0, 1, 2, 3, 4, 5, 6].map((c) =>
      (db.prepare("select count(*) n from tasks where status=?").get(c) as any).n
    );
    const m = db.prepare("select max(ord) a, max(seq) b from tasks").get() as any;
    const lanes = db.prepare("select distinct priority,key,op from tasks where status=0")
      .all() as any;
    const settings = (db.prepare("select name,value from settings").all() as any[]).map((r) =>
      [r.name, r.value] as const
    );
    return Promise.resolve({
      store: new Store(db),
      opened: { counts, next: Math.max(m.a ?? 0, m.b ?? 0) + 1, lanes, settings },
    });
  }
  async call<C extends StoreCall>(
    call: C,
    ask: StoreCalls[C]["ask"],
  ): Promise<StoreCalls[C]["answer"]> {
    await new Promise((r) => setTimeout(r, 0));
    return this.#do(call, structuredClone(ask) as any) as any;
  }
  #do(call: StoreCall, a: any): any {
    const db = this.#db;
    switch (call) {
      case "write": {
        const w = a as Write;
        const n = COLS.length;
        db.exec("begin");
        for (let i = 0; i < w.inserts.length; i += n) this.#ins.run(...w.inserts.slice(i, i + n));
        const u = 2 + STATE_COLUMNS.length;
        for (let i = 0; i < w.updates.length; i += u) {
          this.#upd.run(...w.updates.slice(i + 2, i + u), w.updates[i]);
        }
        for (const [k, v] of w.settings) {
          v === null
            ? db.prepare("delete from settings where name=?").run(k)
            : db.prepare("insert or replace into settings values(?,?)").run(k, v);
        }
        db.exec("commit");
        return null;
      }
      case "find":
        return a.ids.map((id: string) =>
          db.prepare("select * from tasks where id=?").get(id) ?? null
        );
      case "lane":
        return db.prepare(
          "select * from tasks where priority=? and key is ? and op=? and status=0 and seq>? order by seq limit ?",
        ).all(a.priority, a.key, a.op, a.seq, a.limit);
      case "due":
        return db.prepare(
          "select * from tasks where status=1 and (runAt,ord)>(?,?) order by runAt,ord limit ?",
        ).all(a.runAt, a.ord, a.limit);
      case "waiting":
        return db.prepare("select * from tasks where status=2 and ord>? order by ord limit ?").all(
          a.ord,
          a.limit,
        );
      case "expired":
        return db.prepare(
          "select * from tasks where status<3 and expiresAt<=? order by expiresAt limit ?",
        ).all(a.now, a.limit);
      case "list": {
        const rows = db.prepare(
          `select * from tasks where ord ${a.oldestFirst ? ">" : "<"} ? ${
            a.statuses.length ? `and status in (${a.statuses.join()})` : ""
          } and (? is null or op=?) order by ord ${a.oldestFirst ? "asc" : "desc"} limit ?`,
        ).all(a.ord, a.op, a.op, a.limit) as StoredTask[];
        return { tasks: rows, next: rows.length < a.limit ? null : rows.at(-1)!.ord };
      }
      case "ahead":
        return (db.prepare(
          "select count(*) n from tasks where status=0 and (priority>? or (priority=? and seq<?))",
        ).get(a.priority, a.priority, a.seq) as any).n;
      case "sweep": {
        const rows = db.prepare(
          "select ord,status from tasks where status>=3 and coalesce(dropAt, finishedAt+?)<=? and ord not in (select value from json_each(?))",
        ).all(a.keepMs, a.now, JSON.stringify(a.held)) as any[];
        const removed = [0, 0, 0, 0, 0, 0, 0];
        for (const r of rows) {
          removed[r.status]!++;
          db.prepare("delete from tasks where ord=?").run(r.ord);
        }
        return { removed, more: false };
      }
    }
    return null;
  }
  close(): Promise<void> {
    this.#db.close();
    return Promise.resolve();
  }
}
