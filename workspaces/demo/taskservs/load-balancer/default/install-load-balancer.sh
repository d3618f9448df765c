#!/usr/bin/env bash
# load-balancer: spreads connections over the backends that answer.
set -euo pipefail
# shellcheck source=/dev/null
source ./env-load-balancer
service=${DEMO_ROOT:-$HOME/provisioning-demo}/bin/service

case ${1:-install} in
    install | update)
        "$service" start load-balancer load_balancer.py "$PORT" "$STATUS_PORT" "${BACKENDS[@]}"
        ;;
    status) "$service" status load-balancer ;;
    remove) [ ! -x "$service" ] || "$service" remove load-balancer ;;
    *) echo "load-balancer: no operation '$1'" >&2; exit 2 ;;
esac
