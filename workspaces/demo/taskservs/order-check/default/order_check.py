"""Places one order through the balancer and waits until the worker has done it."""

from __future__ import annotations

import sys
import time

from demo_service import ask

PORT = int(sys.argv[1])

_, number = ask(PORT, "POST", "/orders", "one coffee")
for _ in range(50):
    status, text = ask(PORT, "GET", f"/orders/{number}")
    if text.startswith("done"):
        print(f"order {number}: {text}")
        sys.exit(0)
    time.sleep(0.1)
sys.exit(f"order {number} is still not done after 5 s: {text}")
