# shellcheck shell=bash
# Helpers for install scripts on Debian and Ubuntu. A bundle whose install script mentions `provisioning-lib.sh` gets this
# file under that name. Every function may be called again after an interruption and does then only what is left to do.

# log TEXT...: one line of progress.
log() { printf '%s\n' "==> $*"; }

# die TEXT...: say what is wrong and end the step as failed.
die() {
    printf '%s\n' "error: $*" >&2
    exit 1
}

# unknown_operation NAME: end the step, for the last branch of the script's `case`.
unknown_operation() { die "operation '$1' is not one of this taskserv"; }

# bundle_file NAME: print the path of a file of the bundle. Those with secrets are links to memory and gone afterwards.
bundle_file() {
    [[ -f "./$1" ]] || die "the bundle has no file '$1'"
    printf '%s\n' "./$1"
}

# load_env NAME: source the rendered env-NAME, which also gives the functions below their settings.
load_env() {
    local file
    file=$(bundle_file "env-$1")
    # shellcheck disable=SC1090 # rendered for this server
    . "$file"
}

# ---------------------------------------------------------------- packages

EMPTY_MD5=d41d8cd98f00b204e9800998ecf8427e
PACKAGE_WORK=/var/lib/provisioning-services/package-work # exists while packages are changed, until all of it is on the disk

# apt_get VERB ARGUMENT...: apt-get that asks nothing, keeps our configuration files and waits for another apt to finish.
apt_get() {
    local changes=true
    [[ "$1" != update ]] || changes=false
    if $changes; then
        mkdir -p "${PACKAGE_WORK%/*}"
        [[ -e "$PACKAGE_WORK" ]] || touch "$PACKAGE_WORK" # its age tells which packages the work was about
        sync "$PACKAGE_WORK" "${PACKAGE_WORK%/*}"
    fi
    DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a apt-get -q -y \
        -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" || return
    if $changes; then
        sync --file-system / /etc /usr /var # before the mark goes
        rm -f "$PACKAGE_WORK"
    fi
}

# apt_mend: repair what package work that was cut off has left, ours or anybody's.
apt_mend() {
    if [[ -e "$PACKAGE_WORK" || -n "$(dpkg --audit)" ]]; then
        apt_repair
    fi
}

# apt_repair: finish what an interrupted dpkg left. After a loss of power some packages have to be installed again: those of
# which dpkg says so, those with files that are not what they should be, and those with empty configuration files, which
# dpkg does not sync before it calls a package installed.
apt_repair() {
    local broken
    log "finishing interrupted package work"
    dpkg_configure || log "some packages have to be installed again"
    mapfile -t broken < <(dpkg-query -W -f '${db:Status-Abbrev}|${binary:Package}\n' | sed -n 's/^..R|//p')
    remove_empty_conffiles
    find_damaged
    if ((${#broken[@]})); then
        apt_refresh
        apt_get install --reinstall --no-install-recommends -o Dpkg::Options::=--force-confmiss "${broken[@]}"
    fi
    dpkg_configure
    rm -f "$PACKAGE_WORK"
}

# find_damaged: add the packages with damaged files to the caller's `broken`, of those that the work was about.
find_damaged() {
    local list package wrong
    [[ -e "$PACKAGE_WORK" ]] || return 0
    while IFS= read -r list; do
        package=$(basename "$list" .list)
        wrong=$(dpkg --verify "$package" 2>/dev/null |
            awk '$1 ~ /^..5/ && $2 ~ "^/" || $1 == "missing" && $2 ~ "^/usr/(s?bin|lib)/" { print $2; exit }') || true
        if [[ -n "$wrong" ]]; then
            log "$wrong of $package is damaged"
            broken+=("$package")
        fi
    done < <(find /var/lib/dpkg/info -name '*.list' -newer "$PACKAGE_WORK")
}

# dpkg_configure: configure what has been unpacked.
dpkg_configure() { DEBIAN_FRONTEND=noninteractive dpkg --force-confdef --force-confold --configure -a; }

# remove_empty_conffiles: remove those that are empty and should not be; add their packages to the caller's `broken`.
remove_empty_conffiles() {
    local line path sum package=""
    while IFS= read -r line; do
        if [[ "$line" != " "* ]]; then
            package=$line
            continue
        fi
        read -r path sum _ <<<"$line"
        if [[ -f "$path" && ! -s "$path" && "$sum" != "$EMPTY_MD5" ]]; then
            log "$path of $package is empty"
            rm -f "$path"
            broken+=("$package")
        fi
    done < <(dpkg-query -W -f '${binary:Package}\n${Conffiles}\n')
}

# apt_refresh [force]: update the package lists if they are older than an hour.
apt_refresh() {
    local stamp=/var/lib/provisioning-services/apt-refreshed
    if [[ "${1:-}" == force || -z "$(find "$stamp" -mmin -60 2>/dev/null)" ]]; then
        apt_get update
        mkdir -p "${stamp%/*}"
        touch "$stamp"
    fi
}

# is_installed PACKAGE...: whether dpkg has all of them, complete.
is_installed() {
    local package
    for package in "$@"; do
        [[ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null)" == ?i\ * ]] || return
    done
}

# apt_install PACKAGE...: install those that are missing.
apt_install() {
    local package missing=()
    apt_mend
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    if ((${#missing[@]})); then
        apt_refresh
        log "installing ${missing[*]}"
        apt_get install --no-install-recommends "${missing[@]}"
    fi
}

# apt_install_stopped UNIT PACKAGE...: the same, but the package must not start its service before it is configured.
apt_install_stopped() {
    local unit=$1
    shift
    if [[ -e "$PACKAGE_WORK" ]] || ! is_installed "$@"; then
        systemctl mask --runtime --quiet "$unit"
        apt_install "$@"
    fi
    systemctl unmask --runtime --quiet "$unit"
}

# apt_upgrade PACKAGE...: bring installed packages to the newest version there is.
apt_upgrade() {
    apt_mend
    apt_refresh force
    apt_get install --only-upgrade --no-install-recommends "$@"
}

# apt_remove PACKAGE...: remove those that are installed; configuration files and data stay.
apt_remove() { apt_take_away remove "$@"; }

# apt_purge PACKAGE...: remove them with their configuration and, as many packages do, their data.
apt_purge() { apt_take_away purge "$@"; }

# apt_take_away VERB PACKAGE...: what the two have in common.
apt_take_away() {
    local verb=$1 package present=()
    shift
    for package in "$@"; do
        if dpkg-query -W "$package" >/dev/null 2>&1; then
            present+=("$package")
        fi
    done
    if ((${#present[@]})); then
        log "removing ${present[*]}"
        apt_get "$verb" "${present[@]}"
    fi
}

# ---------------------------------------------------------------- files

# write_if_changed PATH [MODE [OWNER:GROUP]]: write stdin to PATH, whole or not at all, unless it is there already.
write_if_changed() {
    local path=$1 mode=${2:-0644} owner=${3:-} new
    mkdir -p "$(dirname "$path")"
    new=$(mktemp "$path.XXXXXX")
    cat >"$new"
    chmod "$mode" "$new"
    [[ -z "$owner" ]] || chown "$owner" "$new"
    if cmp -s "$new" "$path" && [[ "$(stat -c '%a %U:%G' "$new")" == "$(stat -c '%a %U:%G' "$path")" ]]; then
        rm -f "$new"
    else
        log "writing $path"
        mv -f "$new" "$path"
    fi
}

# install_file NAME PATH [MODE [OWNER:GROUP]]: the same with a file of the bundle.
install_file() {
    local source
    source=$(bundle_file "$1")
    shift
    write_if_changed "$@" <"$source"
}

# download URL PATH [SHA256]: fetch a file; with a checksum, one that is there already is kept and a wrong one is refused.
download() {
    local url=$1 path=$2 sha256=${3:-} part="$2.part"
    if [[ -n "$sha256" && -f "$path" ]] && echo "$sha256  $path" | sha256sum --check --status; then
        return
    fi
    apt_install ca-certificates curl
    log "downloading $url"
    mkdir -p "$(dirname "$path")"
    curl --fail --silent --show-error --location --retry 5 --retry-connrefused --connect-timeout 20 --output "$part" "$url"
    if [[ -n "$sha256" ]] && ! echo "$sha256  $part" | sha256sum --check --status; then
        rm -f "$part"
        die "$url has not the checksum $sha256"
    fi
    mv -f "$part" "$path"
}

# published_sha256 URL NAME: print the checksum of NAME from a checksum file at URL.
published_sha256() {
    local list sum
    apt_install ca-certificates curl >&2
    list=$(curl --fail --silent --show-error --location --retry 5 --connect-timeout 20 "$1")
    sum=$(awk -v name="$2" '{ sub(/^[*]/, "", $2); sub(/.*\//, "", $2) } $2 == name || NF == 1 { print $1; exit }' <<<"$list")
    [[ "$sum" =~ ^[0-9a-f]{64}$ ]] || die "$1 has no SHA-256 of $2"
    printf '%s\n' "$sum"
}

# machine_arch: print the architecture as most projects name it in their downloads: amd64, arm64.
machine_arch() { dpkg --print-architecture; }

# ---------------------------------------------------------------- services

# service_restart_if_changed UNIT FILE...: enable UNIT; restart it if it is not active, or if a FILE differs from what it
# was last started with. That is remembered on disk, so an interruption between writing and restarting is made good.
service_restart_if_changed() {
    local unit=$1 stamp="/var/lib/provisioning-services/$1" now
    shift
    now=$(sha256sum -- "$@" 2>/dev/null || true)
    systemctl daemon-reload
    systemctl enable --quiet "$unit"
    if systemctl is-active --quiet "$unit" && [[ -f "$stamp" && "$(<"$stamp")" == "$now" ]]; then
        return
    fi
    log "starting $unit"
    if ! systemctl restart "$unit"; then
        journalctl --no-pager --lines 30 --unit "$unit" >&2 || true
        die "$unit did not start"
    fi
    mkdir -p "${stamp%/*}"
    printf '%s\n' "$now" >"$stamp"
}

# service_remove UNIT: stop and disable it, and forget what it was started with.
service_remove() {
    if systemctl cat "$1" >/dev/null 2>&1; then
        log "stopping $1"
        systemctl disable --now --quiet "$1" || true
    fi
    rm -f "/var/lib/provisioning-services/$1"
}

# service_check UNIT: end the step with the unit's last lines unless it is active.
service_check() {
    systemctl is-active --quiet "$1" && return
    journalctl --no-pager --lines 20 --unit "$1" >&2 || true
    die "$1 is not active"
}

# wait_for SECONDS WHAT COMMAND...: run COMMAND every second until it succeeds; end the step when the time is over.
wait_for() {
    local seconds=$1 what=$2 deadline output=""
    deadline=$((SECONDS + $1))
    shift 2
    until output=$("$@" 2>&1); do
        ((SECONDS < deadline)) || die "$what: not within ${seconds} s: $(tail -n 3 <<<"$output")"
        sleep 1
    done
}
