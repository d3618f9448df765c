#!/usr/bin/env bash
# job-queue: a queue of jobs over HTTP.
set -euo pipefail
# shellcheck source=/dev/null
source ./env-job-queue
service=${DEMO_ROOT:-$HOME/provisioning-demo}/bin/service

case ${1:-install} in
    install | update)
        "$service" start job-queue job_queue.py "$PORT" "$KV_PORT" "$WARM_UP_S"
        ;;
    status) "$service" status job-queue ;;
    remove) [ ! -x "$service" ] || "$service" remove job-queue ;;
    *) echo "job-queue: no operation '$1'" >&2; exit 2 ;;
esac
