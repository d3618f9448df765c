#!/usr/bin/env bash
# A worker: joins the cluster through the endpoint.
set -euo pipefail
# shellcheck source=/dev/null
. ./provisioning-lib.sh
# shellcheck source=/dev/null
. ./node.sh
load_env kubernetes

config() {
    join_cluster
    mark_joined
}

case "${1:-install}" in
install)
    install_packages
    config
    node_status
    ;;
update)
    upgrade_packages kubeadm
    kubeadm upgrade node
    upgrade_packages kubelet kubectl
    systemctl daemon-reload
    systemctl restart kubelet.service
    node_status
    ;;
config)
    config
    node_status
    ;;
status) node_status ;;
remove) remove_node ;;
*) unknown_operation "$1" ;;
esac
