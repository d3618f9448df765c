#!/usr/bin/env bash
# Base settings of a server. What this file sets and params no longer ask for is taken back by `config`.
set -euo pipefail
# shellcheck source=/dev/null
. ./provisioning-lib.sh
load_env os

SYSCTL=/etc/sysctl.d/90-provisioning.conf
MODULES_FILE=/etc/modules-load.d/provisioning.conf

# set_hosts [NAME]: put the block of the bundle's file NAME at the end of /etc/hosts, or take it out.
set_hosts() {
    local kept
    kept=$(sed '/^# begin provisioning$/,/^# end provisioning$/d' /etc/hosts)
    { printf '%s\n' "$kept"; [[ -z "${1:-}" ]] || cat "$(bundle_file "$1")"; } | write_if_changed /etc/hosts
}

set_names() {
    if [[ -n "$NODE_NAME" ]]; then
        write_if_changed /etc/hostname <<<"$NODE_NAME"
        [[ "$(hostname)" == "$NODE_NAME" ]] || hostname "$NODE_NAME"
    fi
    set_hosts hosts
    [[ -f "/usr/share/zoneinfo/$TIMEZONE" ]] || die "there is no time zone '$TIMEZONE'"
    ln -sfn "/usr/share/zoneinfo/$TIMEZONE" /etc/localtime
    write_if_changed /etc/timezone <<<"$TIMEZONE"
}

set_kernel() {
    install_file modules.conf "$MODULES_FILE"
    local module
    for module in "${MODULES[@]}"; do
        modprobe "$module" || die "kernel module $module cannot be loaded"
    done
    install_file sysctl.conf "$SYSCTL"
    sysctl --quiet --load "$SYSCTL"
}

set_swap() {
    [[ "$SWAP_OFF" == true ]] || return 0
    swapoff --all
    sed 's/^\([^#].*[[:space:]]swap[[:space:]].*\)$/# \1/' /etc/fstab >fstab.new
    write_if_changed /etc/fstab <fstab.new
}

config() {
    set_names
    set_kernel
    set_swap
}

status() {
    local package module
    for package in "${PACKAGES[@]}"; do
        is_installed "$package" || die "package $package is not installed"
    done
    [[ -z "$NODE_NAME" || "$(hostname)" == "$NODE_NAME" ]] || die "the server's own name is $(hostname), not $NODE_NAME"
    for module in "${MODULES[@]}"; do
        [[ -d "/sys/module/$module" ]] || die "kernel module $module is not loaded"
    done
    [[ "$SWAP_OFF" != true || -z "$(swapon --noheadings --show)" ]] || die "swap is on"
    log "base settings are in place"
}

case "${1:-install}" in
install)
    apt_install tzdata hostname "${PACKAGES[@]}"
    config
    status
    ;;
update)
    apt_install tzdata hostname "${PACKAGES[@]}"
    apt_upgrade "${PACKAGES[@]}"
    config
    status
    ;;
config)
    config
    status
    ;;
status) status ;;
remove)
    # packages stay: nobody can say what else on the server needs them
    set_hosts
    rm -f "$SYSCTL" "$MODULES_FILE"
    ;;
*) unknown_operation "$1" ;;
esac
