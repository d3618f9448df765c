#!/usr/bin/env bash
# NATS server from the distribution's package.
set -euo pipefail
# shellcheck source=/dev/null
. ./provisioning-lib.sh
load_env nats

CONFIG=/etc/nats-server.conf
STORE=/var/lib/nats

# before 2.10 the server knows no sync_interval in this place and refuses the file
settle_config() {
    local file
    file=$(bundle_file nats-server.conf)
    sed "s/@sync_interval@ \(.*\)/sync_interval: \1/" "$file" >"$1"
    if nats-server -t -c "$1" >"$1.log" 2>&1; then
        return
    fi
    log "this release has no sync_interval: what was acknowledged may be lost in a power cut"
    sed "/@sync_interval@/d" "$file" >"$1"
    nats-server -t -c "$1" >"$1.log" 2>&1 || die "nats-server refuses its configuration: $(tail -n 1 "$1.log")"
}

config() {
    local folder
    install -d -m 0750 "$STORE"
    chown -R nats:nats "$STORE" # a package that was removed and is back may have another user id
    folder=$(mktemp -d -p /run)
    settle_config "$folder/nats-server.conf"
    write_if_changed "$CONFIG" 0640 root:nats <"$folder/nats-server.conf"
    rm -rf "$folder"
    service_restart_if_changed nats-server.service "$CONFIG"
}

asked() { curl --fail --silent --show-error --max-time 3 "http://127.0.0.1:$MONITOR_PORT/$1"; }

# JetStream in a cluster is healthy when most members are there, so right after `install` the server just has to answer
settle() {
    service_check nats-server.service
    if ((MEMBER_COUNT > 1)); then
        wait_for 30 "the NATS server" asked varz
    else
        status
    fi
}

status() {
    service_check nats-server.service
    wait_for 30 "a healthy NATS server" asked healthz
    log "$(nats-server --version)"
}

case "${1:-install}" in
install)
    apt_install_stopped nats-server.service nats-server curl
    config
    settle
    ;;
update)
    apt_upgrade nats-server
    config
    settle
    ;;
config)
    config
    settle
    ;;
status) status ;;
remove)
    service_remove nats-server.service
    apt_remove nats-server
    rm -f "$CONFIG"
    if [[ "$REMOVE_DATA" == true ]]; then
        apt_purge nats-server
        rm -rf "$STORE"
    fi
    ;;
*) unknown_operation "$1" ;;
esac
