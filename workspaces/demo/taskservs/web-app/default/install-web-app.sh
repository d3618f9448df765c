#!/usr/bin/env bash
# web-app: the shop.
set -euo pipefail
# shellcheck source=/dev/null
source ./env-web-app
service=${DEMO_ROOT:-$HOME/provisioning-demo}/bin/service

case ${1:-install} in
    install | update)
        echo "building the shop (${BUILD_S} s)"
        sleep "$BUILD_S"
        "$service" start web-app web_app.py "$PROVISIONING_SERVER" "$PORT" "$KV_PORT" "$QUEUE_PORT" "$WARM_UP_S"
        ;;
    status) "$service" status web-app ;;
    remove) [ ! -x "$service" ] || "$service" remove web-app ;;
    *) echo "web-app: no operation '$1'" >&2; exit 2 ;;
esac
