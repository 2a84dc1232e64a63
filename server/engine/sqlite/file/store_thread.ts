/** Entry of the store thread, started by `Store.open`: opens the file, then answers requests in their order. */

import { ClientError } from "../../../../net/client_error.ts";
import { faultOf } from "./sqlite_fault.ts";
import type { StoreReply, StoreRequest, StoreStart, StoreStarted } from "./store_message.ts";
import { TaskFile } from "./task_file.ts";

/** The global scope of a Web Worker; type checks here use that of a window. */
const scope = self as unknown as {
  postMessage(message: StoreReply | StoreStarted): void;
  onmessage: ((event: MessageEvent) => void) | null;
};

scope.onmessage = ({ data }: MessageEvent<StoreStart>) => {
  try {
    const file = new TaskFile(data);
    scope.onmessage = (event: MessageEvent<StoreRequest>) => {
      scope.postMessage(reply(file, event.data));
      file.tidy();
    };
    scope.postMessage({ opened: file.opened });
    file.tidy();
  } catch (error) {
    scope.postMessage(
      error instanceof ClientError
        ? { refused: { message: error.message, hint: error.hint } }
        : faultOf(error),
    );
  }
};

function reply(file: TaskFile, request: StoreRequest): StoreReply {
  const { serial } = request;
  try {
    const answer = request.call === "write"
      ? file.answer("write", JSON.parse(request.json))
      : file.answer(request.call, request.ask);
    const [damaged, notes] = [file.takeDamaged(), file.takeNotes()];
    return {
      serial,
      answer,
      ...(damaged.length > 0 && { damaged }),
      ...(notes.length > 0 && { notes }),
    };
  } catch (error) {
    return { serial, ...faultOf(error) };
  }
}
