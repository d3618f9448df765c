#!/usr/bin/env bash
# Cilium, through its own command line, which brings the chart with it.
set -euo pipefail
# shellcheck source=/dev/null
. ./provisioning-lib.sh
load_env cilium

CLI=/usr/local/bin/cilium
VALUES=/etc/cilium/values.json

install_cli() {
    local name sum work=/var/lib/provisioning-services/cilium-cli
    [[ "$("$CLI" version --client 2>/dev/null | awk 'NR == 1 { print $2 }')" != "v$CLI_RELEASE" ]] || return 0
    name="cilium-linux-$(machine_arch).tar.gz"
    sum=${CLI_SHA256:-$(published_sha256 "$CLI_URL/v$CLI_RELEASE/$name.sha256sum" "$name")}
    download "$CLI_URL/v$CLI_RELEASE/$name" "$work/$name" "$sum"
    tar -xzf "$work/$name" -C "$work" --no-same-owner cilium
    install -m 0755 "$work/cilium" "$CLI"
    rm -rf "$work"
}

is_deployed() { kubectl --namespace kube-system get daemonset cilium >/dev/null 2>&1; }

# what was applied last is remembered in the cluster, so a second control plane sees it, too
applied() {
    kubectl --namespace kube-system get daemonset cilium --output jsonpath='{.metadata.annotations.provisioning/applied}' 2>/dev/null
}

config() {
    local wanted verb=install
    install_file values.json "$VALUES"
    wanted=$({ echo "$RELEASE"; cat "$VALUES"; } | sha256sum | cut -d ' ' -f 1)
    [[ "$(applied || true)" != "$wanted" ]] || return 0
    is_deployed && verb=upgrade
    log "cilium $verb $RELEASE"
    "$CLI" "$verb" --version "$RELEASE" --values "$VALUES"
    wait_for 30 "cilium's daemon set" is_deployed
    kubectl --namespace kube-system annotate --overwrite daemonset cilium "provisioning/applied=$wanted"
}

status() { "$CLI" status --wait --wait-duration "${WAIT_S}s"; }

case "${1:-install}" in
install | update)
    install_cli
    config
    status
    ;;
config)
    config
    status
    ;;
status) status ;;
remove)
    if is_deployed; then
        "$CLI" uninstall --wait
    fi
    rm -rf "$CLI" "${VALUES%/*}"
    ;;
*) unknown_operation "$1" ;;
esac
