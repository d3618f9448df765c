#!/usr/bin/env bash
# job-worker: takes jobs from the queue.
set -euo pipefail
# shellcheck source=/dev/null
source ./env-job-worker
service=${DEMO_ROOT:-$HOME/provisioning-demo}/bin/service

case ${1:-install} in
    install | update)
        "$service" start job-worker job_worker.py "$PORT" "$KV_PORT" "$QUEUE_PORT"
        ;;
    status) "$service" status job-worker ;;
    remove) [ ! -x "$service" ] || "$service" remove job-worker ;;
    *) echo "job-worker: no operation '$1'" >&2; exit 2 ;;
esac
