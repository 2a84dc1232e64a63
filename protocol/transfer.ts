/** The replies to `import` and `backup`. Types only. */

/** The result of an import. */
export interface ImportAnswer {
  /** Number of records that were added. */
  imported: number;
  /** Number of records that were there already, and the same. */
  existed: number;
  /** Ids of tasks that were not added, since another task has the id. */
  conflicts: string[];
  /** Ids of tasks that were not added, since a task in their `after` is missing. */
  orphans: string[];
  /** Lines that are not records, counted from 1 within the text, each with the reason. */
  bad: { record: number; message: string }[];
}

/** The identity of a file of the server, by which a client on the same machine recognizes it. */
export interface FileIdentity {
  /** The number of its device. */
  readonly dev: number;
  /** The number of its inode. */
  readonly ino: number;
  /** Time of its creation, in ms since 1970; 0 if the system does not know it. */
  readonly born: number;
}

/** The first reply to `backup`. */
export interface BackupBegin {
  readonly backup: "begin";
  /** Size of the backup. */
  readonly bytes: number;
  /** The server's own files, which a backup must not overwrite. */
  readonly files?: readonly FileIdentity[];
}
