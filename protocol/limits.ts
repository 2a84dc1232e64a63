/**
 * All limits on input from outside, with their units in their names. The server, the workers and the clients read them;
 * tests check each at the limit and one past it.
 */

/** A line of the wire, without its newline. */
export const MAX_LINE_BYTES = 1024 * 1024;
/** A result in JSON; the line also holds the task's id and the client's `ref`. */
export const MAX_RESULT_BYTES = MAX_LINE_BYTES - 2048;
/** The message of a task's error; a longer one is cut. */
export const MAX_ERROR_MESSAGE_CHARS = 8192;
/** The note of a progress report; a longer one is cut. */
export const MAX_PROGRESS_NOTE_CHARS = 1024;

/** One entry of a task's log; a longer one is cut. */
export const MAX_LOG_ENTRY_CHARS = 8192;
/** Entries kept for a task, over all its attempts: the newest ones, */
export const MAX_LOG_ENTRIES = 1000;
/** and their characters together. */
export const MAX_LOG_CHARS = 65_536;

/** Nested arrays and objects. `JSON.parse` takes a million, `postMessage` far fewer. */
export const MAX_JSON_DEPTH = 64;

export const MAX_REF_CHARS = 128;
export const MAX_TASK_ID_CHARS = 128;
export const MAX_OP_CHARS = 128;

export const MAX_PRIORITY = 100;
export const MAX_ATTEMPTS = 100;
/** 24.8 days: the longest time of a timer, and of the 32 bits in the shared task table. */
export const MAX_TIMEOUT_MS = 2 ** 31 - 1;
/** Ten years: `delay`, `expires` and `keep`. */
export const MAX_DELAY_MS = 10 * 365 * 86_400_000;
export const MAX_BACKOFF_MS = 3_600_000;

export const MAX_KEY_CHARS = 256;
/** Tasks of one key that run at the same time. */
export const MAX_KEY_LIMIT = 1_000_000;
/** The address, in JSON, at which the end of a task is published. */
export const MAX_ROUTE_CHARS = 2048;
/** Tasks that one task may come after. */
export const MAX_AFTER = 10_000;
/** The results of all the tasks that one task came after, in JSON. */
export const MAX_AFTER_CHARS = 16 * 1024 * 1024;

/** A leased task is a submitted line and the results it came after, in an envelope of ids and numbers. */
export const MAX_WORK_LINE_BYTES = MAX_LINE_BYTES + 3 * MAX_AFTER_CHARS + 4096;
/** Starts in one window of a rate: each is remembered until it is older than the window. */
export const MAX_RATE_STARTS = 10_000;
export const MAX_RATE_WINDOW_MS = 24 * 3_600_000;

/** Ops of one worker process. */
export const MAX_OPS = 1000;
/** A task file as it was named on a command line. */
export const MAX_FILE_NAME_CHARS = 1024;
export const MAX_VENDOR_CHARS = 64;
/** Permissions of the task code of one op, and the length of each. */
export const MAX_OP_PERMISSIONS = 64;
export const MAX_PERMISSION_CHARS = 512;
/** The JSON Schema of one op, in JSON; a worker process does not report a longer one. */
export const MAX_SCHEMA_CHARS = 32_768;
/** The JSON Schemas of all ops of a worker process; it does not report further ones. */
export const MAX_SCHEMAS_CHARS = 512 * 1024;
/** JSON Schemas nest in the first line of a work link, and in the answer to `ops`. */
export const MAX_SCHEMA_DEPTH = MAX_JSON_DEPTH - 8;
/** The first line of a work link, with all ops of the worker process. */
export const MAX_WORK_HELLO_BYTES = 8 * MAX_LINE_BYTES;
/** Bytes that one record of a sealed work link carries at most. */
export const MAX_SEAL_RECORD_BYTES = 128 * 1024;

/** Submits that one order asks a worker process to check; the answer fits into a line. */
export const MAX_CHECKED_TOGETHER = 128;
/** The path and the message of a fault in arguments; longer ones are cut. */
export const MAX_FAULT_PATH_CHARS = 256;
export const MAX_FAULT_MESSAGE_CHARS = 1024;

/** Recurring tasks of one server; all of them fit into one reply to `crons`. */
export const MAX_CRONS = 1000;
/** The submitted line of a recurring task, which is kept in memory. */
export const MAX_CRON_LINE_CHARS = 65_536;
/** The id of a recurring task: the ids of its tasks are 21 characters longer. */
export const MAX_CRON_ID_CHARS = 100;
export const MAX_CRON_CHARS = 256;
/** Missed times of a recurring task for which tasks are submitted later: the latest ones. */
export const MAX_CATCH_UP = 1000;

/** Tasks in one reply to `list`. */
export const MAX_LIST = 1000;

/** Tasks that one `cancel` or `retry` names. */
export const MAX_TASK_IDS = 1000;
/** Ops, and worker processes, in one reply to `stats`. */
export const MAX_STATS_ROWS = 100;

/** Ops that are paused one by one; beyond that, all ops are paused together. */
export const MAX_PAUSED_OPS = 1000;

/** Shortest and longest ping interval that a client may announce, in ms. */
export const MIN_PING_EVERY_MS = 100;
export const MAX_PING_EVERY_MS = 3_600_000;

/** Watches of one connection. */
export const MAX_WATCHES = 16;
/** Events that wait in a client until its watch is read. */
export const MAX_UNREAD_EVENTS = 10_000;

/** A piece of a backup before base64, which makes it a third larger: 512 KiB. */
export const BACKUP_PIECE_BYTES = 384 * 1024;

/** Text of all records that one `import` sends in parts. */
export const MAX_IMPORT_CHARS = 4 * 1024 * 1024;

/** Tasks that one worker process may hold at the same time. */
export const MAX_CREDIT = 4096;
/** The highest number of a lease that a worker process may bring from another server: far from the end of the integers. */
export const MAX_LEASE_NUMBER = 2 ** 48;
/** Longest name of one worker process, in characters. */
export const MAX_INSTANCE_CHARS = 64;
export const MAX_WORKERS = 1024;

/** Tasks in flight of one `sd submit --file`, each with its line in memory. */
export const MAX_MANY_IN_FLIGHT = 10_000;

/** Ops that a dry run of `sd submit --file` counts one by one. */
export const MAX_COUNTED_OPS = 1000;

/** Task files of one command line, with the files in named folders. */
export const MAX_TASK_FILES = 1000;
/** A worker's share of memory: from the needs of an idle runtime with a task file, to a terabyte. */
export const MIN_SHARE_BYTES = 32 * 1024 ** 2;
export const MAX_SHARE_BYTES = 1024 ** 4;

/** Deaths of worker processes while one task runs in them, after which it fails. */
export const MAX_DEATHS = 3;

/** The file of named servers, and its entries. */
export const MAX_CONTEXTS_FILE_BYTES = 1024 * 1024;
export const MAX_CONTEXTS = 1000;
export const MAX_CONTEXT_NAME_CHARS = 64;
