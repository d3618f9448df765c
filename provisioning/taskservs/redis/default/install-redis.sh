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

# a replica is in order without its source, which may be installed later; `status` wants both
settle() {
    service_check redis-server.service
    wait_for 30 "an answer from Redis" answers
}

linked() { ! ask INFO replication | grep -q '^master_link_status:down'; }

status() {
    settle
    wait_for 60 "the link to the server it follows" linked
    log "$(ask INFO replication | tr -d '\r' | grep -E '^(role|master_link_status):' | paste -s -d ' ')"
}

case "${1:-install}" in
install)
    apt_install_stopped redis-server.service redis-server redis-tools
    config
    settle
    ;;
update)
    apt_upgrade redis-server redis-tools
    config
    settle
    ;;
config)
    config
    settle
    ;;
status) status ;;
remove)
    service_remove redis-server.service
    if [[ "$REMOVE_DATA" == true ]]; then
        apt_purge redis-server redis-tools
        rm -rf /var/lib/redis /etc/redis
    elif is_installed redis-server; then
        # not purged, which would delete the data; so redis.conf stays, too, as dpkg restores none that is missing
        apt_remove redis-server redis-tools
        sed -i "\\|^include $CONFIG\$|d" "$MAIN"
        rm -f "$CONFIG"
    fi
    ;;
*) unknown_operation "$1" ;;
esac
