/** The messages of `sd serve` about its start and stop, in each language. Warnings, errors and JSON logs are English. */

import type { Language } from "../cli/messages.ts";

const ENGLISH = {
  listening: (address: string) => `listening on ${address}`,
  workersStarted: (count: number) => `${count} ${count === 1 ? "worker" : "workers"} started`,
  dispatcherStarted: "started",
  stopping: (signal: string, seconds: number) =>
    `${signal}: stopping; running tasks have ${seconds} s to finish`,
  stopped: "stopped",
};

const SPANISH: typeof ENGLISH = {
  listening: (address) => `escuchando en ${address}`,
  workersStarted: (count) => count === 1 ? "1 worker iniciado" : `${count} workers iniciados`,
  dispatcherStarted: "iniciado",
  stopping: (signal, seconds) =>
    `${signal}: parando; las tareas en marcha tienen ${seconds} s para terminar`,
  stopped: "parado",
};

export const MESSAGES: Record<Language, typeof ENGLISH> = { en: ENGLISH, es: SPANISH };
