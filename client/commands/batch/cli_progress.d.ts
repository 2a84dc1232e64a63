/** The typed face of `cli-progress`, which carries no types: the members that sd uses. */

declare module "cli-progress" {
  /** The terminal that the library writes to. */
  export interface BarTerminal {
    cursorSave(): void;
    cursorRestore(): void;
    cursor(shown: boolean): void;
    cursorTo(x: number | null, y: number | null): void;
    clearRight(): void;
    clearLine(): void;
    lineWrapping(on: boolean): void;
    newline(): void;
    write(text: string): void;
    isTTY(): boolean;
    getWidth(): number;
  }

  export interface BarOptions {
    terminal: BarTerminal;
    format: string;
    barsize: number;
    barCompleteChar: string;
    barIncompleteChar: string;
    fps: number;
    clearOnComplete: boolean;
    forceRedraw: boolean;
    emptyOnZero: boolean;
  }

  export class SingleBar {
    constructor(options: BarOptions);
    start(total: number, value: number, payload?: Record<string, string>): void;
    setTotal(total: number): void;
    update(value: number, payload?: Record<string, string>): void;
    stop(): void;
  }
}
