#!/usr/bin/env bash
# containerd from the distribution's packages.
set -euo pipefail
# shellcheck source=/dev/null
. ./provisioning-lib.sh
load_env containerd

[[ "$RUNTIME" == runc || "$RUNTIME" == crun ]] || die "runtime is '$RUNTIME', expected runc or crun"
PACKAGES=(containerd "$RUNTIME")
CONFIG=/etc/containerd/config.toml
CERTS=/etc/containerd/certs.d

# mirrors are read for each pull, so they need no restart
write_mirrors() {
    local i host
    for i in "${!MIRROR_HOSTS[@]}"; do
        host=${MIRROR_HOSTS[i]}
        write_if_changed "$CERTS/$host/hosts.toml" <<MIRROR
server = "https://$host"

[host."${MIRROR_URLS[i]}"]
  capabilities = ["pull", "resolve"]
MIRROR
    done
}

config() {
    write_mirrors
    install_file config.toml "$CONFIG"
    service_restart_if_changed containerd.service "$CONFIG"
}

cri_is_ok() { ctr plugins ls | awk '$1 ~ /grpc/ && $2 == "cri" { found = $NF == "ok" } END { exit !found }'; }

status() {
    service_check containerd.service
    wait_for 20 "the CRI plugin of containerd" cri_is_ok
    log "$(containerd --version)"
}

case "${1:-install}" in
install)
    apt_install "${PACKAGES[@]}"
    config
    status
    ;;
update)
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
    service_remove containerd.service
    apt_remove "${PACKAGES[@]}"
    rm -rf /etc/containerd
    if [[ "$REMOVE_DATA" == true ]]; then
        apt_purge "${PACKAGES[@]}"
        rm -rf /var/lib/containerd
    fi
    ;;
*) unknown_operation "$1" ;;
esac
