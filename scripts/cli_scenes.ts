/**
 * What `docs/cli.md` shows of the command line: scenes in their order, each a title, a sentence and the lines
 * that a person types. To show more, add a scene or a line and run `deno task docs:cli`. All scenes play with one
 * server of two workers, in one folder; `tests/unit/cli_docs_test.ts` holds that every line still parses.
 */

export interface Scene {
  readonly title: string;
  readonly text: string;
  /** For the shell; a line without `sd` is run and shown as well. */
  readonly lines: readonly string[];
}

/** Files that are in the folder from the start. */
export const FILES: Readonly<Record<string, string>> = {
  "tasks.ndjson": ['{"op":"square","n":2}', '{"op":"square","n":3}', '{"op":"square"}', ""].join(
    "\n",
  ),
};

export const SCENES: readonly Scene[] = [
  {
    title: "One task",
    text: "The result alone is on stdout; everything else is talk, on stderr.",
    lines: [
      `sd submit '{"op":"square","n":7}'`,
      `sd submit '<"op":"square","n":7>' 2>/dev/null`,
      'sd submit --detach --id nap --delay 10m \'{"op":"sleep","ms":200}\'',
      `sd submit '{"op":"square"}'`,
      `sd submit '{"op":"sqare","n":7}'`,
    ],
  },
  {
    title: "Many tasks",
    text:
      "One a line, from a file or from stdin; results come as lines of JSON, in the order in which they are ready.",
    lines: [
      "cat tasks.ndjson",
      "sd submit --file tasks.ndjson > results.ndjson",
      "cat results.ndjson",
    ],
  },
  {
    title: "Task files",
    text: "Serve them with `sd serve tasks.ts --watch`; [tasks.md](tasks.md) tells of them.",
    lines: ["sd init shop", "ls shop"],
  },
  {
    title: "Look at tasks",
    text: "On a terminal a table ends at its edge; in a pipe every column is there.",
    lines: [
      "sd status",
      "sd ls",
      "sd ls --status failed | cat",
      "sd why nap",
      "sd result nap",
      "sd result nobody",
      "sd logs nap",
      "sd ops",
      "sd ops square",
      "sd top --once",
    ],
  },
  {
    title: "As it happens",
    text: "Until Ctrl-C, or as here for two seconds.",
    lines: ["timeout 2 sd watch & sleep 1; sd submit hello 2>/dev/null; wait"],
  },
  {
    title: "Act on tasks",
    text: "What it acted on is on stdout, what it could not do on stderr.",
    lines: [
      "sd cancel nap",
      "sd cancel nap",
      "sd retry nap",
      "sd wait nap",
      "sd pause square",
      "sd resume square",
    ],
  },
  {
    title: "Recurring tasks",
    text: "Made by submit, looked after by `sd cron`.",
    lines: [
      `sd submit --id nightly --cron '0 2 * * *' --tz Europe/Rome '{"op":"hash","data":"x"}'`,
      "sd cron | cat",
      "sd cron pause nightly",
      "sd cron rm nightly",
    ],
  },
  {
    title: "Carry tasks elsewhere",
    text:
      "A backup is a file that another server can serve; an export is lines that another one takes in.",
    lines: [
      "sd backup monday.db",
      "sd export > tasks-of-monday.ndjson",
      "sd import tasks-of-monday.ndjson",
    ],
  },
  {
    title: "For programs",
    text: "With `--json` each command says one line on stdout, errors too.",
    lines: [
      `sd submit --json '{"op":"square","n":7}' 2>/dev/null`,
      "sd result nobody --json",
      "sd sumbit --json",
    ],
  },
  {
    title: "Several servers",
    text: "A context is a server with a name, its token and its certificate.",
    lines: [
      "sd context add prod --server sd.example.com:5000 --tls --token-env PROD_TOKEN",
      "sd context ls",
      "sd context show prod",
      "sd status --context prod",
      "sd context rm prod",
    ],
  },
  {
    title: "How fast is it?",
    text:
      "Each task is acknowledged and answered, and the answer is checked. Figures to compare: [performance.md](performance.md).",
    lines: ["sd bench --count 20000"],
  },
  {
    title: "What is wrong here?",
    text: "Each thing that sd needs, with a verdict and, where it is not well, a cure.",
    lines: ["sd doctor", "sd doctor --server 127.0.0.1:1"],
  },
  {
    title: "In Spanish",
    text: "By `--lang es`, or where the locale is Spanish.",
    lines: [
      `sd submit --lang es '{"op":"square","n":7}'`,
      `LANG=es_ES.UTF-8 LC_ALL= sd submit -d hola`,
    ],
  },
];
