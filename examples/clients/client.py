"""Submits one task to sd and prints its result: python3 client.py 127.0.0.1:5000 '{"op":"square","n":7}'"""

import json
import os
import socket
import sys


def say(code, text):
    print(text, file=sys.stderr)
    return code


def main(address="", line="", *_):
    try:
        (host, port), task = address.rsplit(":", 1), {**json.loads(line), "ref": 1}
        server = socket.create_connection((host, int(port)), timeout=10)
    except (ValueError, TypeError):
        return say(2, "usage: client.py HOST:PORT JSON")
    except OSError as error:
        return say(3, f"cannot reach {address}: {error}")
    server.settimeout(None)  # A task may take hours.
    with server, server.makefile("rw", encoding="utf-8", newline="\n") as lines:
        hello = {"cmd": "hello", "token": os.environ.get("SD_TOKEN", "")}
        lines.write(f"{json.dumps(hello)}\n{json.dumps(task)}\n")
        lines.flush()
        for reply in map(json.loads, lines):
            if "result" in reply:
                print(json.dumps(reply["result"], ensure_ascii=False, separators=(",", ":")))
                return 0
            if "error" in reply:  # With a task_id the task failed; without one it was refused.
                return say(1 if "task_id" in reply else 7, "{code}: {message}".format(**reply["error"]))
            if reply.get("status") in ("cancelled", "expired"):
                return say(6, f"the task was {reply['status']}")
            say(0, reply)
    return say(3, f"connection to {address} lost")


sys.exit(main(*sys.argv[1:]))
