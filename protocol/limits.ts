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

/** Ops that are paused one by one; more are paused all together. */
export const MAX_PAUSED_OPS = 1000;

/** Watches of one connection. */
export const MAX_WATCHES = 16;

/** One piece of a backup, before it is base64. A third more is 512 KiB. */
export const BACKUP_PIECE_BYTES = 384 * 1024;

/** Lines of records that one `import` may bring in parts, as text. */
export const MAX_IMPORT_CHARS = 4 * 1024 * 1024;

/** Tasks that one worker process may hold at a time. */
export const MAX_CREDIT = 4096;
export const MAX_WORKERS = 1024;

/** A JSON Schema of the arguments of one op; a larger one is not shown. */
export const MAX_SCHEMA_CHARS = 65_536;

/** Tasks that one `sd submit` of many has in flight, each with its line in memory. */
export const MAX_MANY_IN_FLIGHT = 10_000;

/** Ops that a dry run of many lines counts one by one. */
export const MAX_COUNTED_OPS = 1000;

/** Named on one command line, those in folders included. */
export const MAX_TASK_FILES = 1000;

/** Deaths of worker processes that one task may be running in before it is failed. */
export const MAX_DEATHS = 3;
