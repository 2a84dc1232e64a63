/**
 * Every limit on what comes from outside, with its unit in its name. Read by the server, the workers
 * and the clients; tested at the limit and one past it.
 */

/** One line of the wire, newline not counted. */
export const MAX_LINE_BYTES = 1024 * 1024;
/** A result in JSON; the rest of the line is for the task's id and the client's `ref`. */
export const MAX_RESULT_BYTES = MAX_LINE_BYTES - 2048;
/** The message of a task's error; a longer one is cut. */
export const MAX_ERROR_MESSAGE_CHARS = 8192;
/** The note of a progress report; a longer one is cut. */
export const MAX_PROGRESS_NOTE_CHARS = 1024;

/** One entry of a task's log; a longer one is cut. */
export const MAX_LOG_ENTRY_CHARS = 8192;
/** Entries kept of a task, all its attempts together: the newest ones, */
export const MAX_LOG_ENTRIES = 1000;
/** and as many of them as have no more characters together. */
export const MAX_LOG_CHARS = 65_536;

/** Arrays and objects within one another. `JSON.parse` takes a million, `postMessage` far fewer. */
export const MAX_JSON_DEPTH = 64;

export const MAX_REF_CHARS = 128;
export const MAX_TASK_ID_CHARS = 128;
export const MAX_OP_CHARS = 128;

export const MAX_PRIORITY = 100;
export const MAX_ATTEMPTS = 100;
/** 24.8 days: the longest that a timer and the 32 bits of the shared task table can hold. */
export const MAX_TIMEOUT_MS = 2 ** 31 - 1;
/** Ten years: `delay`, `expires` and `keep`. */
export const MAX_DELAY_MS = 10 * 365 * 86_400_000;
export const MAX_BACKOFF_MS = 3_600_000;

export const MAX_KEY_CHARS = 256;
/** Tasks of one key that run at a time. */
export const MAX_KEY_LIMIT = 1_000_000;
/** Tasks that one task may come after. */
export const MAX_AFTER = 10_000;
/** The results of all the tasks that one task came after, in JSON. */
export const MAX_AFTER_CHARS = 16 * 1024 * 1024;

/** A leased task is a submitted line and the results it came after, in an envelope of ids and numbers. */
export const MAX_WORK_LINE_BYTES = MAX_LINE_BYTES + 3 * MAX_AFTER_CHARS + 4096;
/** Starts in one window of a rate: each is remembered until the window has passed over it. */
export const MAX_RATE_STARTS = 10_000;
export const MAX_RATE_WINDOW_MS = 24 * 3_600_000;

/** Ops of one worker process. */
export const MAX_OPS = 1000;
/** A task file as it was named on a command line. */
export const MAX_FILE_NAME_CHARS = 1024;
export const MAX_VENDOR_CHARS = 64;
/** What the task code of one op may do, and each thing of that. */
export const MAX_OP_PERMISSIONS = 64;
export const MAX_PERMISSION_CHARS = 512;
/** The JSON Schema of one op, in JSON; a worker process does not tell a longer one. */
export const MAX_SCHEMA_CHARS = 32_768;
/** Those of all its ops together; it does not tell the others. */
export const MAX_SCHEMAS_CHARS = 512 * 1024;
/** JSON Schemas nest in the first line of a work link, and in the answer to `ops`. */
export const MAX_SCHEMA_DEPTH = MAX_JSON_DEPTH - 8;
/** The first line of a work link: what a worker process says of itself and its ops. */
export const MAX_WORK_HELLO_BYTES = 8 * MAX_LINE_BYTES;
/** Bytes that one record of a sealed work link carries at most. */
export const MAX_SEAL_RECORD_BYTES = 128 * 1024;

/** Submits whose arguments one order asks a worker process to check; its answer fits a line. */
export const MAX_CHECKED_TOGETHER = 128;
/** Of a fault that it found; longer ones are cut. */
export const MAX_FAULT_PATH_CHARS = 256;
export const MAX_FAULT_MESSAGE_CHARS = 1024;

/** Recurring tasks of one server; all of them fit in one answer of `crons`. */
export const MAX_CRONS = 1000;
/** A recurring task is kept in memory as it was submitted. */
export const MAX_CRON_LINE_CHARS = 65_536;
/** The id of a task that it submits is 21 longer, and must be one. */
export const MAX_CRON_ID_CHARS = 100;
export const MAX_CRON_CHARS = 256;
/** Times that passed while no server ran, for which tasks are submitted afterwards: the latest ones. */
export const MAX_CATCH_UP = 1000;

/** Tasks in one answer of `list`. */
export const MAX_LIST = 1000;

/** Tasks that one `cancel` or `retry` names. */
export const MAX_TASK_IDS = 1000;
/** Ops, and worker processes, in one answer of `stats`. */
export const MAX_STATS_ROWS = 100;

/** Ops that are paused one by one; more are paused all together. */
export const MAX_PAUSED_OPS = 1000;

/** How often a client may say that it pings, in ms. */
export const MIN_PING_EVERY_MS = 100;
export const MAX_PING_EVERY_MS = 3_600_000;

/** Watches of one connection. */
export const MAX_WATCHES = 16;
/** Events that wait in a client for whoever reads its watch. */
export const MAX_UNREAD_EVENTS = 10_000;

/** One piece of a backup, before it is base64. A third more is 512 KiB. */
export const BACKUP_PIECE_BYTES = 384 * 1024;

/** Lines of records that one `import` may bring in parts, as text. */
export const MAX_IMPORT_CHARS = 4 * 1024 * 1024;

/** Tasks that one worker process may hold at a time. */
export const MAX_CREDIT = 4096;
export const MAX_WORKERS = 1024;

/** Tasks that one `sd submit` of many has in flight, each with its line in memory. */
export const MAX_MANY_IN_FLIGHT = 10_000;

/** Ops that a dry run of many lines counts one by one. */
export const MAX_COUNTED_OPS = 1000;

/** Named on one command line, those in folders included. */
export const MAX_TASK_FILES = 1000;
/** A worker's share of memory: what a task file and a runtime need before they do anything, and a terabyte. */
export const MIN_SHARE_BYTES = 32 * 1024 ** 2;
export const MAX_SHARE_BYTES = 1024 ** 4;

/** Deaths of worker processes that one task may be running in before it is failed. */
export const MAX_DEATHS = 3;

/** The file of named servers, and what it holds. */
export const MAX_CONTEXTS_FILE_BYTES = 1024 * 1024;
export const MAX_CONTEXTS = 1000;
export const MAX_CONTEXT_NAME_CHARS = 64;
