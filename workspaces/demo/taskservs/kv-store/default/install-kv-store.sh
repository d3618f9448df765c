#!/usr/bin/env bash
# kv-store: a key-value store that keeps its data in a file.
set -euo pipefail
# shellcheck source=/dev/null
source ./env-kv-store
service=${DEMO_ROOT:-$HOME/provisioning-demo}/bin/service

case ${1:-install} in
    install | update)
        "$service" start kv-store kv_store.py "$PORT" "${service%/bin/*}/data/kv-store/data" "$WARM_UP_S"
        ;;
    status) "$service" status kv-store ;;
    remove) [ ! -x "$service" ] || "$service" remove kv-store ;;
    *) echo "kv-store: no operation '$1'" >&2; exit 2 ;;
esac
