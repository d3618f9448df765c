#!/usr/bin/env bash
# HAProxy from the distribution's package. A configuration that does not parse never replaces one that does.
set -euo pipefail
# shellcheck source=/dev/null
. ./provisioning-lib.sh
load_env haproxy

CONFIG=/etc/haproxy/haproxy.cfg

config() {
    local said
    said=$(haproxy -c -f "$(bundle_file haproxy.cfg)" 2>&1) || die "haproxy refuses its configuration: $(tail -n 5 <<<"$said")"
    install_file haproxy.cfg "$CONFIG" 0644
    service_restart_if_changed haproxy.service "$CONFIG"
}

# whether something listens; the servers behind may come later
listens() { [[ -n "$(ss --no-header --listening --tcp --numeric "sport = :$1")" ]]; }

status() {
    local port
    service_check haproxy.service
    for port in "${PORTS[@]}"; do
        wait_for 10 "a listener on port $port" listens "$port"
    done
    log "$(haproxy -v | head -n 1)"
}

case "${1:-install}" in
install)
    apt_install_stopped haproxy.service haproxy iproute2
    config
    status
    ;;
update)
    apt_upgrade haproxy
    config
    status
    ;;
config)
    config
    status
    ;;
status) status ;;
remove)
    service_remove haproxy.service
    apt_purge haproxy
    rm -rf /etc/haproxy
    ;;
*) unknown_operation "$1" ;;
esac
