# shellcheck shell=bash
# Certificates of a member. The CA's key is used where the bundle has it, which is tmpfs, and is not stored here, except
# for a single member without a CA of its own, which makes one.

PKI=/etc/etcd/pki
RENEW_S=$((30 * 24 * 3600)) # before the end of a certificate
DAYS=365

# make_pki: bring every certificate up to date.
make_pki() {
    local ca_key
    mkdir -p "$PKI"
    chmod 0755 /etc/etcd "$PKI"
    ca_key=$(bundle_file ca.key)
    if [[ -s "$ca_key" ]]; then
        install_file ca.crt "$PKI/ca.crt"
    else
        ca_key="$PKI/ca.key"
        make_own_ca "$ca_key"
    fi
    make_cert member "$ca_key" "DNS:$NODE_NAME,DNS:localhost,IP:$ADDRESS,IP:127.0.0.1" etcd
    make_cert client "$ca_key" "DNS:$NODE_NAME" root
}

# make_own_ca KEY: a CA for this server alone.
make_own_ca() {
    [[ ! -s "$1" || ! -s "$PKI/ca.crt" ]] || return 0
    log "making a CA for this member"
    (umask 077 && openssl ecparam -name prime256v1 -genkey -noout -out "$1")
    openssl req -x509 -new -key "$1" -subj "/CN=etcd CA of $NODE_NAME" -days 3650 -out "$PKI/ca.crt"
}

# make_cert NAME CA_KEY SANS OWNER: NAME.crt and NAME.key, renewed when the CA, the names or the time ask for it.
make_cert() {
    local name=$1 ca_key=$2 sans=$3 owner=$4 work="$PKI/.new"
    is_current "$name" "$sans" && return
    log "signing $PKI/$name.crt"
    rm -rf "$work"
    (umask 077 && mkdir "$work" && openssl ecparam -name prime256v1 -genkey -noout -out "$work/key")
    printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\nkeyUsage=digitalSignature\n' "$sans" >"$work/ext"
    openssl req -new -key "$work/key" -subj "/O=etcd/CN=$name-$NODE_NAME" -out "$work/csr"
    openssl x509 -req -in "$work/csr" -CA "$PKI/ca.crt" -CAkey "$ca_key" -set_serial "0x$(openssl rand -hex 16)" \
        -days "$DAYS" -extfile "$work/ext" -out "$work/crt" 2>"$work/log" || die "signing failed: $(tail -n 1 "$work/log")"
    chmod 0644 "$work/crt"
    chown "$owner" "$work/key"
    mv -f "$work/key" "$PKI/$name.key"
    mv -f "$work/crt" "$PKI/$name.crt"
    printf '%s\n' "$sans" >"$PKI/$name.names"
    rm -rf "$work"
}

# is_current NAME SANS: whether the pair is there, fits together, is signed by this CA and lasts.
is_current() {
    local cert="$PKI/$1.crt" key="$PKI/$1.key"
    [[ -s "$cert" && -s "$key" && -f "$PKI/$1.names" && "$(<"$PKI/$1.names")" == "$2" ]] &&
        openssl verify -CAfile "$PKI/ca.crt" "$cert" >/dev/null 2>&1 &&
        openssl x509 -in "$cert" -noout -checkend "$RENEW_S" >/dev/null &&
        [[ "$(openssl x509 -in "$cert" -noout -pubkey)" == "$(openssl pkey -in "$key" -pubout)" ]]
}
