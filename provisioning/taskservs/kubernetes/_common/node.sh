# shellcheck shell=bash
# What control planes and workers have in common.

PACKAGES=(kubelet kubeadm kubectl)
KEYRING=/etc/apt/keyrings/kubernetes.gpg
SOURCES=/etc/apt/sources.list.d/kubernetes.list
DONE=/var/lib/provisioning-services/kubernetes-joined
KUBELET_CONF=/etc/kubernetes/kubelet.conf

# add_repository: the project's apt repository, with a key whose fingerprint has to be the expected one.
add_repository() {
    local key=/var/lib/provisioning-services/kubernetes.asc found
    apt_install gnupg ca-certificates curl
    [[ -f "$SOURCES" && -s "$KEYRING" && "$(<"$SOURCES")" == *" $REPOSITORY_URL /" ]] && return
    download "${REPOSITORY_URL}Release.key" "$key"
    found=$(gpg --batch --show-keys --with-colons "$key" | awk -F: '$1 == "fpr" { print $10; exit }')
    [[ -z "$REPOSITORY_KEY" || "$found" == "$REPOSITORY_KEY" ]] || die "the repository's key is $found, not $REPOSITORY_KEY"
    gpg --batch --yes --dearmor --output kubernetes.gpg "$key"
    write_if_changed "$KEYRING" <kubernetes.gpg
    write_if_changed "$SOURCES" <<<"deb [signed-by=$KEYRING] $REPOSITORY_URL /"
    apt_refresh force
}

prepare_kernel() {
    write_if_changed /etc/modules-load.d/kubernetes.conf <<<$'overlay\nbr_netfilter'
    modprobe overlay
    modprobe br_netfilter
    write_if_changed /etc/sysctl.d/90-kubernetes.conf <<'SYSCTL'
net.bridge.bridge-nf-call-iptables = 1
net.bridge.bridge-nf-call-ip6tables = 1
net.ipv4.ip_forward = 1
SYSCTL
    sysctl --quiet --load /etc/sysctl.d/90-kubernetes.conf
    [[ -z "$(swapon --noheadings --show)" ]] || die "swap is on: set swap_off of taskserv os"
}

install_packages() {
    prepare_kernel
    add_repository
    apt_install conntrack socat ethtool iptables "${PACKAGES[@]}"
    apt-mark hold "${PACKAGES[@]}" >/dev/null
    systemctl enable --quiet kubelet.service
}

# upgrade_packages PACKAGE...: to the newest version in the repository, which `config` of another release changes.
upgrade_packages() {
    add_repository
    apt_refresh force
    apt_get install --allow-change-held-packages --no-install-recommends "$@"
    apt-mark hold "$@" >/dev/null
}

# is_joined: whether this node is part of the cluster; true also where an earlier try got that far and could not say so.
is_joined() {
    [[ -f "$DONE" ]] && return
    [[ -f "$KUBELET_CONF" ]] && kubectl --kubeconfig "$KUBELET_CONF" get node "$NODE_NAME" >/dev/null 2>&1
}

# clear_leftovers: kubeadm refuses to start over on what an interrupted try has written.
clear_leftovers() {
    if [[ -f "$KUBELET_CONF" || -n "$(ls -A /etc/kubernetes/manifests 2>/dev/null)" ]]; then
        log "clearing an interrupted kubeadm"
        kubeadm reset --force >/dev/null
    fi
}

mark_joined() {
    mkdir -p "${DONE%/*}"
    touch "$DONE"
}

# filled NAME: print a kubeadm configuration of the bundle with what only this server knows.
filled() {
    local file version hash=""
    file=$(bundle_file "$1")
    version=$(kubeadm version --output short)
    if [[ -s "$(bundle_file ca.crt)" ]]; then
        hash=$(openssl x509 -in "$(bundle_file ca.crt)" -noout -pubkey | openssl pkey -pubin -outform der | sha256sum | cut -d ' ' -f 1)
    fi
    sed -e "s/@KUBERNETES_VERSION@/$version/" -e "s/@CA_HASH@/sha256:$hash/" "$file"
}

# kubeadm_with NAME ARGUMENT...: run kubeadm with a filled configuration, which holds secrets and is never left behind.
kubeadm_with() {
    local name=$1 folder
    shift
    folder=$(mktemp -d -p "${XDG_RUNTIME_DIR:-/run}")
    filled "$name" >"$folder/config.yaml"
    if ! kubeadm "$@" --config "$folder/config.yaml"; then
        rm -rf "$folder"
        die "kubeadm $1 failed"
    fi
    rm -rf "$folder"
}

join_cluster() {
    is_joined && return
    [[ -s "$(bundle_file ca.crt)" && "$HAS_TOKEN" == true ]] || die "joining needs the params ca_cert and bootstrap_token"
    clear_leftovers
    log "joining the cluster"
    kubeadm_with join.yaml join
}

node_status() {
    service_check kubelet.service
    is_joined || die "$NODE_NAME is not part of the cluster"
    wait_for 60 "the kubelet" curl --fail --silent http://127.0.0.1:10248/healthz
}

remove_node() {
    service_remove kubelet.service
    if command -v kubeadm >/dev/null; then
        kubeadm reset --force
    fi
    apt-mark unhold "${PACKAGES[@]}" >/dev/null 2>&1 || true
    apt_purge "${PACKAGES[@]}"
    rm -rf /etc/kubernetes /var/lib/kubelet /etc/cni/net.d /root/.kube/config "$DONE"
    rm -f "$SOURCES" "$KEYRING" /etc/modules-load.d/kubernetes.conf /etc/sysctl.d/90-kubernetes.conf
}
