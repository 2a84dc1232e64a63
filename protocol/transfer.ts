/** What `import` and `backup` answer. Types only. */

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

/** One file of a server, so that a client on the same machine knows it by whatever name. */
export interface FileIdentity {
  readonly dev: number;
  /** The number of its inode. */
  readonly ino: number;
  /** When it was made, in ms since 1970; 0 where the system does not know. */
  readonly born: number;
}

/** The first reply to `backup`. */
export interface BackupBegin {
  readonly backup: "begin";
  readonly bytes: number;
  /** The files that the server keeps everything in: a backup must not take the place of one. */
  readonly files?: readonly FileIdentity[];
}
