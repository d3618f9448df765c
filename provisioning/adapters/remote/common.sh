# shellcheck shell=bash
# Shared by every verb. The request's header, evaluated before this text, has set: nonce, base_default (or empty),
# and for unit verbs lineage, resource_name, taskserv, name, entry, operation, digest, token, limit, idempotent, earlier,
# seen, offset, payload, inlined, secrets_size, secret_tar_size, upload_only, environment (array), sweep.
# shellcheck disable=SC2154,SC2034  # set by the header; used by the verb that follows

readonly RS=$'\x1e'         # starts every frame line in the output stream
readonly GRACE=3            # seconds between TERM and KILL
readonly OUTPUT_KIB=65536   # kept of a unit's output on the server
readonly MARK=PROVISIONING_UNIT

for place in /usr/local/sbin /usr/sbin /sbin; do # sshd gives non-login shells a path without them
    [[ :$PATH: == *:$place:* ]] || PATH=$PATH:$place
done

# A pipe that nothing ever comes from is the built-in way to sleep. A named one takes no process to open.
quiet_pipe() {
    if [[ -z ${quiet:-} ]]; then
        if [[ -p ${base:-}/quiet ]]; then exec 4<>"$base/quiet"; else exec 4<> <(:); fi
        quiet=1
    fi
}
nap() {
    quiet_pipe
    read -r -t "$1" -u 4 || :
}
say() { printf '@%s %s\n' "$nonce" "$*" >&2; }
finish() { say "end $*"; exit 0; }

places() {
    if [[ -n ${PROVISIONING_HOME:-} ]]; then
        base=$PROVISIONING_HOME
    elif ((EUID == 0)); then
        base=/var/lib/provisioning
    else
        base=${HOME:?no home folder for the unit}/.local/state/provisioning
    fi
    units=$base/$lineage/units
    unit=$units/$name
    resources=$base/$lineage/resources
    resource=$resources/$resource_name # .lock, .units: one folder for all, so that a new resource takes no process
}

settle_in() {
    [[ -d $resources && -d $units ]] && return
    (umask 077 && mkdir -p "$resources" "$units") || finish "refused 0 cannot write to $base"
    [[ -p $base/quiet ]] || mkfifo -m 600 "$base/quiet" 2>/dev/null
    fresh=("$base/$lineage" "$base")
}
fresh=()

# A result is one line that says where it ends, so that a torn write is no result.
recorded() {
    kind='' code='' seal=''
    [[ -s $1/result ]] && read -r kind code seal <"$1/result"
    [[ $seal == . ]]
}

record() { # folder kind code
    printf '%s %s .\n' "$2" "$3" >"$1/result"
    sync "$1/result" "$1"
}

claimed() { # sets claim_*
    claim_digest='' claim_operation='' claim_nonce='' seal=''
    [[ -s $1/claim ]] && {
        read -r claim_digest
        read -r claim_operation
        read -r claim_nonce
        read -r seal
    } <"$1/claim"
    [[ $seal == . ]]
}

# Field 22 of stat tells one process from a later one with the same number. The name may hold spaces: cut after ')'.
started_at() {
    local line fields
    read -r line 2>/dev/null <"/proc/$1/stat" || return 1
    read -ra fields <<<"${line##*) }"
    [[ -n ${fields[19]:-} && ${fields[0]} != Z ]] && since=${fields[19]}
}

remember() { # file pid
    started_at "$2" && printf '%s %s .\n' "$2" "$since" >"$1"
}

alive() { # file; sets pid
    local born=''
    pid='' seal=''
    [[ -s $1 ]] && read -r pid born seal <"$1"
    [[ $seal == . ]] && started_at "$pid" && [[ $since == "$born" ]]
}

# Everything that belongs to a unit: what carries its mark, what is in its process group or control group, and all their
# children. A child that left its session, forked twice and wiped its environment is caught by the control group only.
members() { # mark group(or empty); sets members
    local path stat fields process
    local -A found=() alive=() children=()
    while IFS= read -r path; do
        path=${path#/proc/}
        found[${path%%/*}]=1
    done < <(
        grep -lszxF -e "$1" /proc/[0-9]*/environ
        [[ -z $2 ]] || grep -lsxE -e "[0-9]+:[^:]*:$2" /proc/[0-9]*/cgroup
    )
    for path in /proc/[0-9]*/stat; do
        read -r stat 2>/dev/null <"$path" || continue
        path=${path#/proc/} process=${path%%/*}
        read -ra fields <<<"${stat##*) }"
        [[ ${fields[0]:-Z} != Z && -n ${fields[2]:-} ]] || continue
        alive[$process]=1
        children["${fields[1]}"]+=" $process"
        [[ ${fields[2]} != "${process_group:-}" ]] || found[$process]=1
    done
    local -a queue=("${!found[@]}")
    while ((${#queue[@]})); do
        for process in ${children["${queue[0]}"]:-}; do
            [[ -n ${found[$process]:-} ]] || { found[$process]=1 && queue+=("$process"); }
        done
        queue=("${queue[@]:1}")
    done
    members=()
    for process in "${!found[@]}"; do # our own search was in the control group, too, but is over
        [[ -n ${alive[$process]:-} && " $$ $BASHPID ${spared[*]} " != *" $process "* ]] && members+=("$process")
    done
    return 0
}
spared=()

# TERM, a grace, then KILL until nothing is left: what forks while it is killed is caught by the next round.
reap() { # mark group grace
    local until=$((SECONDS + $3 + 1)) signal=TERM
    members "$1" "$2"
    while ((${#members[@]})); do
        kill "-$signal" "${members[@]}" 2>/dev/null
        kill -CONT "${members[@]}" 2>/dev/null # a stopped process cannot act on TERM
        nap 0.05
        members "$1" "$2"
        ((SECONDS < until)) || signal=KILL
        ((SECONDS < until + 10)) || return 1
    done
}

forget_secrets() {
    local folder=''
    [[ -s $unit/memory ]] && read -r folder <"$unit/memory"
    [[ $folder == */provisioning-* ]] && rm -rf "$folder"
    return 0
}

# The newest unit of a resource and the highest token, from an append-only file: a torn last line counts as not written.
newest() {
    local line fields
    local -a lines=()
    highest=0 current=''
    [[ -s $resource.units ]] && mapfile -t lines <"$resource.units"
    for line in "${lines[@]}"; do
        read -ra fields <<<"$line"
        [[ ${fields[2]:-} == . ]] && highest=${fields[0]} current=${fields[1]}
    done
    ((${#lines[@]} < 500)) || trim=1
}
trim=0
