#!/usr/bin/env bash
# PostgreSQL from the distribution's package: the cluster `main` of its newest version.
set -euo pipefail
# shellcheck source=/dev/null
. ./provisioning-lib.sh
load_env postgres

BACKUPS=/var/backups/postgres

# sql ARGUMENT...: psql as the superuser, over the local socket
sql() { runuser -u postgres -- psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --port "$PORT" "$@"; }

newest_cluster() { pg_lsclusters --no-header | awk '$2 == "main" { print $1 }' | sort -V | tail -n 1; }

config() {
    local version folder
    version=$(newest_cluster)
    [[ -n "$version" ]] || die "there is no cluster 'main'"
    folder="/etc/postgresql/$version/main"
    install_file provisioning.conf "$folder/conf.d/provisioning.conf" 0644 postgres:postgres
    install_file pg_hba.conf "$folder/pg_hba.conf" 0640 postgres:postgres
    service_restart_if_changed "postgresql@$version-main.service" "$folder/conf.d/provisioning.conf" "$folder/pg_hba.conf"
    wait_for 60 "PostgreSQL" pg_isready --quiet --port "$PORT"
    sql <"$(bundle_file users.sql)"
    create_databases
}

create_databases() {
    local i
    for i in "${!DATABASES[@]}"; do
        sql --set name="${DATABASES[i]}" --set owner="${OWNERS[i]:-postgres}" <<'SQL'
SELECT format('CREATE DATABASE %I OWNER %I', :'name', :'owner') WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name')\gexec
ALTER DATABASE :"name" OWNER TO :"owner";
SQL
    done
}

status() {
    local database
    wait_for 30 "PostgreSQL" pg_isready --quiet --port "$PORT"
    for database in postgres "${DATABASES[@]}"; do
        sql --dbname "$database" --command "SELECT 1" >/dev/null || die "database $database does not answer"
    done
    log "$(sql --tuples-only --no-align --command 'SHOW server_version')"
}

backup() {
    local file
    install -d -m 0700 "$BACKUPS"
    file="$BACKUPS/all-$(date -u +%Y%m%dT%H%M%SZ).sql.gz"
    (umask 077 && runuser -u postgres -- pg_dumpall --port "$PORT" | gzip >"$file.part")
    mv "$file.part" "$file"
    find "$BACKUPS" -name 'all-*.sql.gz' | sort -r | tail -n "+$((BACKUPS_KEPT + 1))" | xargs -r rm -f --
    log "dump in $file"
}

remove() {
    local packages
    service_remove "postgresql@$(newest_cluster)-main.service"
    if [[ "$REMOVE_DATA" != true ]]; then
        # purging the packages would drop the clusters
        mapfile -t packages < <(dpkg-query -W -f '${Package}\n' 'postgresql*' 2>/dev/null | grep -E '^postgresql(-[0-9]+)?$')
        apt_remove "${packages[@]}"
        return
    fi
    mapfile -t packages < <(dpkg-query -W -f '${Package}\n' 'postgresql*' 2>/dev/null)
    apt_purge "${packages[@]}"
    rm -rf /etc/postgresql /var/lib/postgresql
}

case "${1:-install}" in
install)
    apt_install postgresql
    config
    status
    ;;
update)
    apt_upgrade postgresql "postgresql-$(newest_cluster)"
    config
    status
    ;;
config)
    config
    status
    ;;
status) status ;;
backup) backup ;;
remove) remove ;;
*) unknown_operation "$1" ;;
esac
