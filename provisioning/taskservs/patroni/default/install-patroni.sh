#!/usr/bin/env bash
# One member of a PostgreSQL cluster under Patroni. The first one to come makes the database, the others copy it; a member
# whose server was replaced copies it again.
set -euo pipefail
# shellcheck source=/dev/null
. ./provisioning-lib.sh
load_env patroni

LOCAL=/usr/local/bin/patroni-local
QUERY=/usr/local/bin/pg-query
ETCD_PKI=/etc/etcd/pki

install_packages() {
    local settings=/etc/postgresql-common/createcluster.conf
    apt_install curl jq postgresql-common
    # Patroni makes the database, not the package
    { grep -v '^create_main_cluster' "$settings" || true; echo 'create_main_cluster = false'; } | write_if_changed "$settings"
    apt_install postgresql
    apt_install_stopped patroni.service patroni
}

newest_version() { find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -V | tail -n 1; }

# The version stays the one that this member's database has.
version() {
    local existing
    existing=$(find /var/lib/postgresql -mindepth 2 -maxdepth 2 -name patroni -printf '%h\n' | sort -V | tail -n 1)
    if [[ -n "$existing" ]]; then basename "$existing"; else newest_version; fi
}

config() {
    local number
    number=$(version)
    install -d -m 0755 /etc/patroni
    install -d -m 0700 -o postgres -g postgres /etc/patroni/etcd "/var/lib/postgresql/$number/patroni"
    copy_etcd_login
    install_file patroni.yml /etc/patroni/config.yml 0600 postgres:postgres
    install_file pgpass /etc/patroni/pgpass 0600 postgres:postgres
    write_if_changed /etc/patroni_env.conf <<END
PATRONI_POSTGRESQL_DATA_DIR=/var/lib/postgresql/$number/patroni
PATRONI_POSTGRESQL_BIN_DIR=/usr/lib/postgresql/$number/bin
END
    install_file patroni-local "$LOCAL" 0755
    install_file pg-query "$QUERY" 0755
    service_restart_if_changed patroni.service /etc/patroni/config.yml /etc/patroni_env.conf /etc/patroni/etcd/client.crt
}

# Patroni is not root: it gets copies of what root reads etcd with.
copy_etcd_login() {
    local name
    [[ -s "$ETCD_PKI/client.key" ]] || die "there is no $ETCD_PKI/client.key: Patroni wants the taskserv etcd on the same server"
    for name in ca.crt client.crt client.key; do
        write_if_changed "/etc/patroni/etcd/$name" 0600 postgres:postgres <"$ETCD_PKI/$name"
    done
}

status() {
    service_check patroni.service
    wait_for "$START_S" "PostgreSQL under Patroni" "$LOCAL" health
    patronictl -c /etc/patroni/config.yml list
}

# Another member becomes the primary, if this one is.
switchover() {
    "$LOCAL" primary >/dev/null 2>&1 || return 0
    log "this member is the primary: handing over"
    patronictl -c /etc/patroni/config.yml switchover --force
}

remove() {
    service_remove patroni.service
    apt_remove patroni # it has told PostgreSQL to stop
    rm -rf /etc/patroni /etc/patroni_env.conf "$LOCAL" "$QUERY" /var/lib/postgresql/patroni.pgpass
    if [[ "$REMOVE_DATA" == true ]]; then
        rm -rf /var/lib/postgresql/*/patroni
    fi
}

case "${1:-install}" in
install)
    install_packages
    config
    status
    ;;
update)
    install_packages
    apt_upgrade patroni "postgresql-$(version)"
    config
    status
    ;;
config)
    config
    status
    ;;
status) status ;;
switchover) switchover ;;
remove) remove ;;
*) unknown_operation "$1" ;;
esac
