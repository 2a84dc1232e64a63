/**
 * The scenes of `docs/cli.md`, in their order: each has a title, a sentence and the lines that a person types.
 * To show more, add a scene or a line and run `deno task docs:cli`. All scenes use one server with two workers, and
 * one folder. `tests/unit/cli_docs_test.ts` checks that every line still parses.
 */

export interface Scene {
  readonly title: string;
  readonly text: string;
  /** Lines for the shell. A line without `sd` is run and shown as well. */
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
    text: "Only the result is on stdout; messages are on stderr.",
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
      "One task a line, from a file or from stdin. Results are lines of JSON, in the order in which the tasks end.",
    lines: [
      "cat tasks.ndjson",
      "sd submit --file tasks.ndjson > results.ndjson",
      "cat results.ndjson",
    ],
  },
  {
    title: "Task files",
    text: "`sd serve tasks.ts --watch` serves one. [Task files](tasks.md) describes them.",
    lines: ["sd init shop", "ls shop"],
  },
  {
    title: "Look at tasks",
    text: "On a terminal a table ends at the edge of the screen; a pipe gets every column.",
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
    text: "`sd watch` prints events until Ctrl-C, or for two seconds in this scene.",
    lines: ["timeout 2 sd watch & sleep 1; sd submit hello 2>/dev/null; wait"],
  },
  {
    title: "Act on tasks",
    text: "Each command prints on stdout what it has done, and on stderr what it could not do.",
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
    text: "`sd submit --cron` makes one; `sd cron` lists, pauses, resumes and removes them.",
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
      "A backup is a file that a server can use. An export is lines that any server can import.",
    lines: [
      "sd backup monday.db",
      "sd export > tasks-of-monday.ndjson",
      "sd import tasks-of-monday.ndjson",
    ],
  },
  {
    title: "For programs",
    text: "With `--json` each command prints one line on stdout, also for an error.",
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
      "`sd bench` checks the acknowledgement and the result of each task. [Performance](performance.md) has figures to compare.",
    lines: ["sd bench --count 20000"],
  },
  {
    title: "What is wrong here?",
    text: "`sd doctor` checks each thing that sd needs, and prints a cure for each problem.",
    lines: ["sd doctor", "sd doctor --server 127.0.0.1:1"],
  },
  {
    title: "In Spanish",
    text: "With `--lang es`, or in a Spanish locale.",
    lines: [
      `sd submit --lang es '{"op":"square","n":7}'`,
      `LANG=es_ES.UTF-8 LC_ALL= sd submit -d hola`,
    ],
  },
];
