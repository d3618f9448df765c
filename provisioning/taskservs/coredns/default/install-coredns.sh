#!/usr/bin/env bash
# CoreDNS from its release archive: the distributions have no package of it.
set -euo pipefail
# shellcheck source=/dev/null
. ./provisioning-lib.sh
load_env coredns

BINARY=/usr/local/bin/coredns
COREFILE=/etc/coredns/Corefile
UNIT=/etc/systemd/system/coredns.service
RESOLV_KEPT=/etc/resolv.conf.before-coredns

install_release() {
    local name sum work=/var/lib/provisioning-services/coredns-release
    [[ "$("$BINARY" -version 2>/dev/null | head -n 1)" != "CoreDNS-$RELEASE" ]] || return 0
    name="coredns_${RELEASE}_linux_$(machine_arch).tgz"
    sum=${RELEASE_SHA256:-$(published_sha256 "$RELEASE_URL/v$RELEASE/$name.sha256" "$name")}
    download "$RELEASE_URL/v$RELEASE/$name" "$work/$name" "$sum"
    tar -xzf "$work/$name" -C "$work" --no-same-owner
    install -m 0755 "$work/coredns" "$BINARY"
    rm -rf "$work"
}

# systemd-resolved keeps port 53 of one loopback address only, so it can stay
resolve_through() {
    if [[ "$1" == true ]]; then
        [[ -e "$RESOLV_KEPT" ]] || cp --no-dereference /etc/resolv.conf "$RESOLV_KEPT"
        [[ ! -L /etc/resolv.conf ]] || rm -f /etc/resolv.conf
        write_if_changed /etc/resolv.conf <<<"nameserver $CHECK_ADDRESS"
    elif [[ -e "$RESOLV_KEPT" ]]; then
        mv -f "$RESOLV_KEPT" /etc/resolv.conf
    fi
}

config() {
    install_file Corefile "$COREFILE"
    install_file coredns.service "$UNIT"
    service_restart_if_changed coredns.service "$COREFILE" "$UNIT" "$BINARY"
    resolve_through "$USE_LOCALLY"
}

answers() {
    local found
    found=$(dig +time=2 +tries=1 "@$CHECK_ADDRESS" -p "$CHECK_PORT" "${CHECK_NAME:-health.invalid}") || return 1
    [[ -z "$CHECK_NAME" || "$found" == *"status: NOERROR"*"ANSWER SECTION"* ]]
}

status() {
    service_check coredns.service
    apt_install bind9-dnsutils
    wait_for 20 "an answer from CoreDNS" answers
    log "CoreDNS answers"
}

case "${1:-install}" in
install | update)
    install_release
    config
    status
    ;;
config)
    config
    status
    ;;
status) status ;;
remove)
    resolve_through false
    service_remove coredns.service
    rm -rf "$BINARY" "$UNIT" /etc/coredns
    systemctl daemon-reload
    ;;
*) unknown_operation "$1" ;;
esac
