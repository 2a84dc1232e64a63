/** Texts of the commands about tasks on their way, in each language. */

import type { Language } from "../../../cli/messages.ts";
import type { CronAnswer, Status } from "../../../protocol/task.ts";

const ENGLISH = {
  askPayload: "payload (JSON or text): ",
  taskTaken: (status: Status, id: string) => `task ${status} id=${id}`,
  recurring: {
    scheduled: "recurring task scheduled",
    paused: "recurring task paused",
    removed: "recurring task removed",
  } satisfies Record<CronAnswer["status"], string>,
  waiting: "waiting for the result…",
  resultReceived: "result received",
  taskFailed: "task failed",
  ended: {
    cancelled: "the task was cancelled",
    expired: "the task expired before it was started",
  },
  resultIsKept: (id: string) => `the server keeps the result; print it again with: sd result ${id}`,
  runAgain: (id: string) => `run it again with: sd retry ${id}`,
  goesOn: (ids: readonly string[]) =>
    ids.length === 1
      ? `the task goes on; get its result with: sd wait ${ids[0]}`
      : `the tasks go on; get their results with: sd wait ${ids.join(" ")}`,
  noResult: "no result",
  after: (what: string, time: string) => `${what} after ${time}`,
  noConnection: (server: string) => `and no connection to ${server} now`,
  unanswered: (server: string, time: string) => `${server} has not answered for ${time}`,
  perhapsTaken: (id: string) =>
    `the server may have accepted the task; submit it again as the same task with --id ${id}`,
  connectionLost: (server: string) => `connection to ${server} lost; trying again`,
  connectedAgain: "connected again",
};

const SPANISH_STATUS: Record<Status, string> = {
  queued: "encolada",
  delayed: "aplazada",
  running: "en marcha",
  completed: "terminada",
  failed: "fallida",
  cancelled: "cancelada",
  expired: "caducada",
};

const SPANISH: typeof ENGLISH = {
  askPayload: "datos (JSON o texto): ",
  taskTaken: (status, id) => `tarea ${SPANISH_STATUS[status]} id=${id}`,
  recurring: {
    scheduled: "tarea periódica programada",
    paused: "tarea periódica en pausa",
    removed: "tarea periódica eliminada",
  },
  waiting: "esperando el resultado…",
  resultReceived: "resultado recibido",
  taskFailed: "la tarea ha fallado",
  ended: {
    cancelled: "la tarea fue cancelada",
    expired: "la tarea caducó antes de empezar",
  },
  resultIsKept: (id) => `el servidor guarda el resultado; imprímalo otra vez con: sd result ${id}`,
  runAgain: (id) => `para ejecutarla otra vez: sd retry ${id}`,
  goesOn: (ids) =>
    ids.length === 1
      ? `la tarea sigue; obtenga su resultado con: sd wait ${ids[0]}`
      : `las tareas siguen; obtenga sus resultados con: sd wait ${ids.join(" ")}`,
  noResult: "sin resultado",
  after: (what, time) => `${what} después de ${time}`,
  noConnection: (server) => `y ahora no hay conexión con ${server}`,
  unanswered: (server, time) => `${server} no ha respondido en ${time}`,
  perhapsTaken: (id) =>
    `puede que el servidor haya aceptado la tarea; envíela otra vez como la misma tarea con --id ${id}`,
  connectionLost: (server) => `se perdió la conexión con ${server}; probando otra vez`,
  connectedAgain: "conectado otra vez",
};

export const TASK_MESSAGES: Record<Language, typeof ENGLISH> = { en: ENGLISH, es: SPANISH };
