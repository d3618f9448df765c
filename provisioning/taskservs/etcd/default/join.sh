# shellcheck shell=bash
# How a member with an empty store finds its place. The members that run know it: the cluster is new; or this member is
# announced and has not come yet; or it was there before, and its server has been replaced. Only then is it exchanged: the
# others would not let it in with an empty store under its old id.
# shellcheck disable=SC2154 # set in env-etcd

JOIN=/etc/etcd/join.env

# find_place: do what an empty store needs before etcd starts. May be interrupted and repeated.
find_place() {
    local peer="$SCHEME://$ADDRESS:$PEER_PORT" endpoint list="" id state name clients
    [[ ! -d "$DATA_DIR/member/wal" ]] || return 0
    rm -f "$JOIN"
    endpoint=$(running_members)
    [[ -z "$endpoint" ]] || list=$(others member list 2>/dev/null) || true
    if [[ -z "$list" ]]; then
        log "no other member answers yet"
        return
    fi
    IFS='|' read -r id state name clients < <(member_with "$peer" <<<"$list") || true
    if [[ "$state" == started && -z "$clients" ]]; then
        log "the cluster waits for this member"
        return
    fi
    if [[ "$state" == started ]]; then
        log "replacing member $name ($id), whose store is gone"
        others member remove "$id" >/dev/null || die "member $id cannot be replaced: has the cluster a quorum?"
    fi
    [[ "$state" == unstarted ]] || wait_for 60 "a place in the cluster" others member add "$NODE_NAME" --peer-urls="$peer"
    list=$(others member list)
    write_if_changed "$JOIN" <<END
ETCD_INITIAL_CLUSTER_STATE=existing
ETCD_INITIAL_CLUSTER=$(awk -F ', ' -v own="$peer" -v name="$NODE_NAME" \
        '{ printf "%s%s=%s", (NR > 1 ? "," : ""), ($4 == own ? name : $3), $4 }' <<<"$list")
END
}

# running_members: print the client addresses of other members that accept connections, separated by commas.
running_members() {
    local host found=""
    for host in "${OTHERS[@]}"; do
        if timeout 3 bash -c "exec 3<>/dev/tcp/$host/$CLIENT_PORT" 2>/dev/null; then
            found+="${found:+,}$SCHEME://$host:$CLIENT_PORT"
        fi
    done
    printf '%s\n' "$found"
}

# others ARGUMENT...: etcdctl for the members that run.
others() {
    local tls=()
    [[ "$TLS" != true ]] || tls=(--cacert="$PKI/ca.crt" --cert="$PKI/client.crt" --key="$PKI/client.key")
    ETCDCTL_API=3 etcdctl --endpoints="$endpoint" --dial-timeout=5s --command-timeout=10s "${tls[@]}" "$@"
}

# member_with PEER: print id|state|name|client addresses of the member with this address, from a list on stdin.
member_with() { awk -F ', ' -v OFS='|' -v peer="$1" '$4 == peer { print $1, $2, $3, $5 }'; }
