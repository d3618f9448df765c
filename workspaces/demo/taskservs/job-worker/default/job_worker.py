"""Takes jobs from the queue and files their results in the key-value store. GET /healthz says whether it could ask."""

from __future__ import annotations

import sys
import threading
import time

from demo_service import Answer, ask, kv, serve

PORT, KV, QUEUE = map(int, sys.argv[1:4])
LAST = {"asked": "not yet"}


def work() -> None:
    """Take and do jobs for ever."""
    while True:
        try:
            status, job = ask(QUEUE, "POST", "/take")
            LAST["asked"] = "ok"
            if status == 200:
                number, _, text = job.partition(" ")
                kv(KV, "SET", f"result/{number}", f"done: {text}")
        except OSError as error:
            LAST["asked"] = f"the queue does not answer: {error}"
            status = 0
        if status != 200:
            time.sleep(0.1)


def answer(_method: str, path: str, _body: str) -> Answer:
    """Answer one request."""
    if path == "/healthz":
        return (200 if LAST["asked"] == "ok" else 503), LAST["asked"]
    return 404, f"nothing at {path}"


threading.Thread(target=work, daemon=True).start()
serve(PORT, answer)
