"""A queue of jobs: POST /jobs adds one, POST /take gives the oldest away. It lives in the key-value store."""

from __future__ import annotations

import sys
import threading

from demo_service import Answer, kv, serve, warm

PORT, KV, WARM_UP_S = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
ALONE = threading.Lock()


def answer(method: str, path: str, body: str) -> Answer:
    """Answer one request."""
    if path == "/healthz":
        kv(KV, "PING")
        return (200, "ok") if warm(WARM_UP_S) else (503, "warming up")
    with ALONE:
        if (method, path) == ("POST", "/jobs"):
            number = kv(KV, "INCR", "queue/added")
            kv(KV, "SET", f"queue/job/{number}", body)
            return 201, number
        if (method, path) == ("POST", "/take"):
            taken, added = (int(kv(KV, "GET", f"queue/{key}") or 0) for key in ("taken", "added"))
            if taken == added:
                return 204, ""
            number = kv(KV, "INCR", "queue/taken")
            return 200, f"{number} {kv(KV, 'GET', f'queue/job/{number}')}"
    return 404, f"nothing at {path}"


serve(PORT, answer)
