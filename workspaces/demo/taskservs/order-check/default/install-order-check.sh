#!/usr/bin/env bash
# order-check: places one order through the balancer. Nothing stays behind but its report.
set -euo pipefail
# shellcheck source=/dev/null
source ./env-order-check
home=${DEMO_ROOT:-$HOME/provisioning-demo}
report=$home/data/order-check

case ${1:-install} in
    install | update) PYTHONPATH=$home/lib python3 order_check.py "$PORT" | tee "$report" ;;
    status) cat "$report" ;;
    remove) rm -f "$report" ;;
    *) echo "order-check: no operation '$1'" >&2; exit 2 ;;
esac
