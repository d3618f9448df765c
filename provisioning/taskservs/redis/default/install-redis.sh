#!/usr/bin/env bash
# Redis from the distribution's package. Our settings are in a file of their own that redis.conf includes last.
set -euo pipefail
# shellcheck source=/dev/null
. ./provisioning-lib.sh
load_env redis

MAIN=/etc/redis/redis.conf
CONFIG=/etc/redis/provisioning.conf

config() {
    install_file provisioning.conf "$CONFIG" 0640 root:redis
    if ! grep -qx "include $CONFIG" "$MAIN"; then
        printf '\ninclude %s\n' "$CONFIG" >>"$MAIN"
    fi
    service_restart_if_changed redis-server.service "$MAIN" "$CONFIG"
}

# ask COMMAND: the password goes in on stdin, where no list of processes shows it
ask() {
    { [[ "$HAS_PASSWORD" != true ]] || printf 'AUTH %s\n' "$(<"$(bundle_file password)")"; printf '%s\n' "$*"; } |
        redis-cli -h 127.0.0.1 -p "$PORT"
}

answers() { [[ "$(ask PING | tail -n 1)" == PONG ]]; }

status() {
    service_check redis-server.service
    wait_for 30 "an answer from Redis" answers
    log "$(ask INFO replication | tr -d '\r' | grep -E '^(role|master_link_status):' | paste -s -d ' ')"
}

case "${1:-install}" in
install)
    apt_install_stopped redis-server.service redis-server redis-tools
    config
    status
    ;;
update)
    apt_upgrade redis-server redis-tools
    config
    status
    ;;
config)
    config
    status
    ;;
status) status ;;
remove)
    service_remove redis-server.service
    if [[ "$REMOVE_DATA" == true ]]; then
        apt_remove redis-server redis-tools
        rm -rf /var/lib/redis
    elif is_installed redis-server; then
        apt_get remove redis-server redis-tools # purging would delete the data
    fi
    rm -rf /etc/redis
    ;;
*) unknown_operation "$1" ;;
esac
