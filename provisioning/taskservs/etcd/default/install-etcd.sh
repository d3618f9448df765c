#!/usr/bin/env bash
# One member of an etcd cluster. Members may be installed in any order: each waits for the others in the background. One
# whose server was replaced gets its place back.
set -euo pipefail
# shellcheck source=/dev/null
. ./provisioning-lib.sh
# shellcheck source=/dev/null
. ./pki.sh
# shellcheck source=/dev/null
. ./join.sh
load_env etcd

LOCAL=/usr/local/bin/etcd-local
BACKUPS=/var/backups/etcd
UNIT=/etc/systemd/system/etcd.service

install_release() {
    local arch name archive sum work=/var/lib/provisioning-services/etcd-release
    [[ "$(/usr/local/bin/etcd --version 2>/dev/null | awk 'NR == 1 { print $NF }')" != "$RELEASE" ]] || return 0
    arch=$(machine_arch)
    name="etcd-v$RELEASE-linux-$arch"
    archive="$work/$name.tar.gz"
    sum=${RELEASE_SHA256:-$(published_sha256 "$RELEASE_URL/v$RELEASE/SHA256SUMS" "$name.tar.gz")}
    download "$RELEASE_URL/v$RELEASE/$name.tar.gz" "$archive" "$sum"
    tar -xzf "$archive" -C "$work" --no-same-owner
    install -m 0755 "$work/$name/etcd" "$work/$name/etcdctl" /usr/local/bin/
    rm -rf "$work"
}

install_binaries() {
    if [[ -n "$RELEASE" ]]; then
        install_release
        apt_install openssl
    else
        apt_install_stopped etcd.service etcd-server etcd-client openssl
    fi
    id etcd >/dev/null 2>&1 || useradd --system --home-dir /var/lib/etcd --shell /usr/sbin/nologin --user-group etcd
}

config() {
    local files=(/etc/etcd/etcd.env "$UNIT" "$(command -v etcd)")
    install -d -m 0700 /var/lib/etcd "$DATA_DIR"
    chown -R etcd:etcd /var/lib/etcd "$DATA_DIR" # a package that was removed and is back may have another user id
    mkdir -p /etc/etcd
    if [[ "$TLS" == true ]]; then
        make_pki
        files+=("$PKI/ca.crt" "$PKI/member.crt")
    fi
    install_file etcd.env /etc/etcd/etcd.env
    install_file etcd.service "$UNIT"
    install_file etcd-local "$LOCAL" 0755
    find_place
    service_restart_if_changed etcd.service "${files[@]}"
}

# a new cluster is healthy when most members are there, so only a single member has to be healthy at once
settle() {
    if ((MEMBER_COUNT == 1)); then
        status
    elif timeout 10 "$LOCAL" endpoint health >/dev/null 2>&1; then
        log "the cluster has a quorum"
    else
        service_check etcd.service
        log "this member runs and waits for the others"
    fi
}

status() {
    service_check etcd.service
    wait_for 30 "a healthy etcd" "$LOCAL" endpoint health
    "$LOCAL" endpoint status --write-out=table
}

backup() {
    local file
    install -d -m 0700 "$BACKUPS"
    file="$BACKUPS/etcd-$(date -u +%Y%m%dT%H%M%SZ).db"
    "$LOCAL" snapshot save "$file"
    find "$BACKUPS" -name 'etcd-*.db' | sort -r | tail -n "+$((BACKUPS_KEPT + 1))" | xargs -r rm -f --
    log "snapshot in $file"
}

remove() {
    service_remove etcd.service
    rm -f "$UNIT" "$LOCAL" /usr/local/bin/etcd /usr/local/bin/etcdctl
    apt_remove etcd-server etcd-client # not purged, which would delete the store
    systemctl daemon-reload
    rm -rf /etc/etcd
    if [[ "$REMOVE_DATA" == true ]]; then
        apt_purge etcd-server etcd-client
        rm -rf -- "${DATA_DIR:?}"
    fi
}

case "${1:-install}" in
install)
    install_binaries
    config
    settle
    ;;
update)
    install_binaries
    [[ -n "$RELEASE" ]] || apt_upgrade etcd-server etcd-client
    config
    settle
    ;;
config)
    config
    settle
    ;;
status) status ;;
backup) backup ;;
defragment)
    "$LOCAL" defrag --command-timeout=60s
    status
    ;;
remove) remove ;;
*) unknown_operation "$1" ;;
esac
