/** What `import` answers. Types only. */

export interface ImportAnswer {
  imported: number;
  /** There already, and the same. */
  existed: number;
  /** Ids under which another task is there. */
  conflicts: string[];
  /** Ids of tasks that come after one that is not there. */
  orphans: string[];
  /** Records that are none, counted from 1: within a message from the server, within all lines from the client library. */
  bad: { record: number; message: string }[];
}
