"""The shop: GET / counts a visit, POST /orders queues an order, GET /orders/N says what became of it."""

from __future__ import annotations

import sys

from demo_service import Answer, ask, kv, serve, warm

NAME, PORT, KV, QUEUE, WARM_UP_S = sys.argv[1], *map(int, sys.argv[2:5]), float(sys.argv[5])


def answer(method: str, path: str, body: str) -> Answer:
    """Answer one request."""
    if path == "/healthz":
        kv(KV, "PING")
        return (200, "ok") if warm(WARM_UP_S) else (503, "warming up")
    if path == "/":
        return 200, f"hello from {NAME}, visit {kv(KV, 'INCR', 'visits')}"
    if (method, path) == ("POST", "/orders"):
        return ask(QUEUE, "POST", "/jobs", body)
    if path.startswith("/orders/"):
        return 200, kv(KV, "GET", f"result/{path.rpartition('/')[2]}") or "waiting"
    return 404, f"nothing at {path}"


serve(PORT, answer)
