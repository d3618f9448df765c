#!/usr/bin/env bash
# A control plane. The one named init_server starts the cluster, the others join it through the endpoint.
set -euo pipefail
# shellcheck source=/dev/null
. ./provisioning-lib.sh
# shellcheck source=/dev/null
. ./node.sh
load_env kubernetes

PKI=/etc/kubernetes/pki
ADMIN=/etc/kubernetes/admin.conf

# an etcd of our own on this server hands its client certificate over; another one's files were put there by somebody
take_etcd_certs() {
    [[ -n "$ETCD_PKI" ]] || return 0
    local file
    for file in ca.crt client.crt client.key; do
        [[ -s "$ETCD_PKI/$file" ]] || die "$ETCD_PKI/$file is missing: kubernetes needs it to reach etcd"
    done
    write_if_changed "$PKI/etcd/ca.crt" 0644 <"$ETCD_PKI/ca.crt"
    write_if_changed "$PKI/apiserver-etcd-client.crt" 0644 <"$ETCD_PKI/client.crt"
    write_if_changed "$PKI/apiserver-etcd-client.key" 0600 <"$ETCD_PKI/client.key"
}

start_cluster() {
    is_joined && return
    clear_leftovers
    take_etcd_certs
    if [[ -s "$(bundle_file ca.key)" ]]; then
        install_file ca.crt "$PKI/ca.crt" 0644
        install_file ca.key "$PKI/ca.key" 0600
    fi
    log "starting the cluster"
    kubeadm_with init.yaml init
}

# let nodes join from now on for as long as token_ttl says
open_door() {
    [[ "$HAS_TOKEN" == true ]] || return 0
    log "renewing the token and the shared certificates"
    kubeadm_with init.yaml init phase bootstrap-token
    kubeadm_with init.yaml init phase upload-certs --upload-certs
}

config() {
    if [[ "$NODE_NAME" == "$INIT_NODE" ]]; then
        start_cluster
        open_door
    else
        join_cluster
    fi
    take_etcd_certs
    mark_joined
    mkdir -p /root/.kube
    ln -sfn "$ADMIN" /root/.kube/config
}

update() {
    upgrade_packages kubeadm
    if [[ "$NODE_NAME" == "$INIT_NODE" ]]; then
        kubeadm upgrade apply --yes "$(kubeadm version --output short)"
    else
        kubeadm upgrade node
    fi
    upgrade_packages kubelet kubectl
    systemctl daemon-reload
    systemctl restart kubelet.service
}

status() {
    node_status
    wait_for 180 "the API server" kubectl --kubeconfig "$ADMIN" get --raw=/readyz
    kubectl --kubeconfig "$ADMIN" get nodes --output wide
}

case "${1:-install}" in
install)
    install_packages
    config
    status
    ;;
update)
    update
    status
    ;;
config)
    config
    status
    ;;
status) status ;;
remove) remove_node ;;
*) unknown_operation "$1" ;;
esac
