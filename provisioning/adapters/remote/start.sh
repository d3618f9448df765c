# shellcheck shell=bash
# Claims a unit, unpacks its bundle, hands it to a supervisor and becomes the relay of its output; or adopts one.
# shellcheck disable=SC2154,SC2034  # set by the header; used in common.sh

begin() { # unit-nonce [name of an adopted unit]
    printf '%s@%s begin %s %s\n' "$RS" "$nonce" "$1" "${2:-}"
}

# ---------------------------------------------------------------- adopting

# An older relay may be blocked on a channel that died silently, and the script behind it: its end frees both.
take_over() {
    if alive "$1/relay"; then kill -KILL "$pid" 2>/dev/null; fi
}

# What the runner has of a unit's output already; of any other unit it has nothing.
skip() { # name
    [[ $1 == "$seen" ]] || offset=0
}

replay() { # name of a unit whose result is in kind and code
    local folder=$units/$1
    skip "$1"
    claimed "$folder" || claim_nonce=$nonce
    begin "$claim_nonce" "$1"
    [[ -s $folder/out ]] && tail -c "+$((offset + 1))" "$folder/out"
    printf '%s@%s %s %s .\n' "$RS" "$claim_nonce" "$kind" "$code"
    exit 0
}

# Whether nobody supervises a unit any more: its lock is free, or held for a later unit.
abandoned() { # unit name
    if flock -n 9; then
        flock -u 9
    else
        newest
        [[ $current != "$1" ]] || return 1
    fi
    nap 0.2 # its last act may have been to write the result
    ! recorded "$units/$1"
}

# A link under our name says whom we followed: who comes after us, or stops us, means that unit.
stand_behind() { # name
    [[ $1 == "$name" ]] || ln -sfnT "$1" "$unit" 2>/dev/null || { recorded "$unit" && replay "$name"; }
}

follow() { # name of a unit that runs
    local folder=$units/$1 tailer round
    stand_behind "$1"
    skip "$1"
    claimed "$folder"
    take_over "$folder"
    begin "$claim_nonce" "$1"
    for ((round = 0; round < 100; round++)); do
        [[ -e $folder/out ]] && break
        nap 0.05
    done
    tail -c "+$((offset + 1))" -s 0.1 -f "$folder/out" 2>/dev/null 9>&- &
    tailer=$!
    trap 'kill "$tailer" 2>/dev/null' EXIT
    for ((round = 1; ; round++)); do
        recorded "$folder" && break
        kill -0 "$tailer" 2>/dev/null || exit 0 # the channel is closed
        if ((round % 10 == 0)) && abandoned "$1"; then finish 'lost 0'; fi
        nap 0.1
    done
    # The trailer is in the file, unless the file is full: then the runner gets it from us.
    nap 1
    kill "$tailer" 2>/dev/null
    wait "$tailer" 2>/dev/null
    printf '%s@%s %s %s .\n' "$RS" "$claim_nonce" "$kind" "$code"
    exit 0
}

wait_for_lock() {
    local until=$((SECONDS + ${limit%.*} + 1)) told=0
    until flock -n 9; do
        newest
        if [[ -n $current ]] && claimed "$units/$current" && ! recorded "$units/$current"; then
            if [[ $current == "$name" ]]; then follow "$current"; fi
            ((token >= highest)) || finish "fenced $highest"
            if [[ $claim_digest == "$digest" && $claim_operation == "$operation" ]]; then follow "$current"; fi
            ((told)) || say "waits $current"
            told=1
        fi
        own recorded && replay "$name"
        ((SECONDS < until)) || finish "refused 0 another unit holds the resource: $current"
        flock -w 0.2 9 && break
    done
}

own() { [[ ! -L $unit ]] && "$1" "$unit"; }
known() { recorded "$1" && [[ $kind != lost ]]; }

# A claim without a result: nobody knows how far it went. What is left of it must be gone before anything runs again.
settle() { # folder why
    ((idempotent)) || finish "refused 0 $2"
    reap "$MARK=$1" '' "$GRACE" || finish "unknown 0 processes of $1 do not end"
    recorded "$1" || record "$1" lost 0
}

look_back() {
    newest
    if own known; then replay "$name"; fi
    ((token >= highest)) || finish "fenced $highest"
    if own claimed; then settle "$unit" 'it had been started, and no result was recorded: nobody knows how far it went'; fi
    local before followed=''
    if [[ -L $unit ]]; then followed=$(readlink "$unit"); fi
    if [[ -n $earlier && -L $units/$earlier ]]; then earlier=$(readlink "$units/$earlier"); fi
    for before in "$earlier" "$seen" "$followed" "$current"; do
        [[ -n $before && $before != "$name" ]] || continue
        claimed "$units/$before" || continue
        if known "$units/$before"; then
            # A recorded failure is no reason not to try again; a recorded success is.
            if [[ $before == @("$earlier"|"$seen"|"$followed") && $kind == exit && $code == 0 && $claim_digest == "$digest" &&
                $claim_operation == "$operation" ]]; then
                replay "$before"
            fi
        else
            settle "$units/$before" 'an earlier attempt had been started, and no result was recorded: nobody knows how far it went'
        fi
    done
}

# ---------------------------------------------------------------- delivering

memory_folder() { # sets memory: a folder that never reaches a disk
    local _ place type rest
    local -A kinds=()
    while read -r _ place type rest; do kinds[$place]=$type; done </proc/self/mounts
    memory=''
    for place in "${XDG_RUNTIME_DIR:-}" /run /dev/shm; do
        [[ -n $place && ${kinds[$place]:-} == @(tmpfs|ramfs) && -w $place ]] || continue
        memory=$place/provisioning-$nonce
        mkdir -m 700 "$memory" && return 0
    done
    return 1
}

take_secrets() {
    memory_folder || give_up 'no tmpfs to keep secrets in'
    printf '%s\n' "$memory" >"$unit/memory"
    if ((secrets_size)); then
        local text
        IFS= read -rN "$secrets_size" text || give_up 'the upload was cut'
        (umask 077 && printf '%s' "$text" >"$memory/secrets.env") || give_up 'secrets could not be written'
        environment+=("PROVISIONING_SECRETS=$memory/secrets.env")
    fi
    if ((secret_tar_size)); then
        head -c "$secret_tar_size" | tar -xzof - -C "$memory" || give_up 'the upload was cut'
    fi
}

give_up() { # nothing has run: the folder goes, so that the same attempt can be delivered again
    forget_secrets
    rm -rf "$unit"
    finish "cut 0 $*"
}

# The header of a small bundle defines `write_files`, which takes no process; any other comes as an archive at the end.
unpack() { # folder
    if ((inlined)); then
        write_files "$1"
    else
        tar -xzof - -C "$1"
    fi
}

deliver() {
    [[ ! -L $unit ]] || rm -f "$unit"
    if [[ -e $unit ]]; then # an upload that was cut, or a claim that was settled
        if known "$unit"; then replay "$name"; fi
        forget_secrets
        rm -rf "$unit"
    fi
    mkdir -m 700 "$unit" "$unit/bundle" || give_up "cannot write to $units"
    if ((secrets_size || secret_tar_size)); then take_secrets; fi
    unpack "$unit/bundle" || give_up 'the bundle did not unpack'
    if [[ -n ${memory:-} ]]; then
        cp -rs --remove-destination "$memory/." "$unit/bundle" || give_up 'secret files could not be linked'
    fi
    # From here on nothing is written to the channel: a dead one would end us between the claim and the start.
    begin "$nonce"
    if ((trim)); then
        printf '%s %s .\n' "$highest" "$current" >"$resource.new"
        sync "$resource.new" && mv "$resource.new" "$resource.units"
    fi
    if ! printf '%s\n' "$digest" "$operation" "$nonce" . >"$unit/claim" ||
        ! printf '%s %s .\n' "$token" "$name" >>"$resource.units"; then
        give_up 'the claim could not be written'
    fi
    if recorded "$unit"; then give_up 'it was cancelled'; fi
    # Durable before the first effect: after a power cut the claim says that something may have happened.
    sync "$unit/claim" "$resource.units" "$unit" "$units" "$resources" "${fresh[@]}" || give_up 'the claim could not be made durable'
}

keep_upload() {
    rm -rf "$resource.upload"
    if ! mkdir -m 700 "$resource.upload" || ! unpack "$resource.upload"; then
        finish 'cut 0 the bundle did not unpack'
    fi
    sync "$resource.upload"
    begin "$nonce"
    printf 'delivered to %s\n%s@%s exit 0 .\n' "$resource.upload" "$RS" "$nonce"
    exit 0
}

# ---------------------------------------------------------------- supervising

# Stands between the script and the channel: a copy for those who come later, and never an end because of a dead reader.
keep() {
    umask 077 # what a script prints may be anything
    trap '' XFSZ # past the cap only the copy stops
    ulimit -f "$OUTPUT_KIB"
    exec tee -p "$unit/out" 4>&- 7>&- 9>&-
}

# Its standard output is read by the supervisor, which can wait for words with a limit, but not for a process.
run_script() {
    exec 2>/dev/null 9>&-
    set -m                    # a process group of its own
    trap 'LC_ALL=C jobs' CHLD # bash's word on its jobs is all that tells `exit 137` from a kill
    local child code
    cd "$unit/bundle" || exit
    export "${environment[@]}" "$MARK=$unit"
    bash "./$entry" "$operation" </dev/null >&7 2>&1 4>&- 7>&- 8>&- &
    child=$!
    printf 'group %s\n' "$child"
    while
        code=0
        wait "$child" || code=$?
        kill -0 "$child"
    do
        nap 1 # a stopped job ends a wait too
    done
    printf 'code %s\n' "$code"
}

conclude() { # kind code
    trap '' TERM
    forget_secrets
    record "$unit" "$1" "$2"
    # Free the resource first: what follows may block on a channel that nobody reads.
    if ((in_service)); then flock -u 9; fi
    exec 9>&-
    rm -rf "$unit/bundle" &
    printf '%s@%s %s %s .\n' "$RS" "$nonce" "$1" "$2" >&7
    exec 7>&-
    local round
    for ((round = 0; round < 100; round++)); do
        kill -0 "$keeper" 2>/dev/null || exit 0
        nap 0.02
    done
    # A child that lives on holds the output open. It keeps its writer, the channel gets its end.
    if alive "$unit/relay"; then kill "$pid" 2>/dev/null; fi
    exit 0
}

end_by_force() { # kind
    local IFS=$' \t\n' # as a trap, we run inside of a read that has changed it
    trap '' TERM
    reap "$MARK=$unit" "$group" "$GRACE"
    conclude "$1" 0
}

in_own_group() { # sets group
    local _ place
    group=''
    ((in_service)) || return 0
    while IFS=: read -r _ _ place; do
        if [[ $place == */provisioning-*.service ]]; then group=$place; fi
    done </proc/self/cgroup
}

supervise() {
    local line='' word signalled=0
    exec 6>&1 </dev/null 2>"$unit/trouble"
    in_own_group
    exec 7> >(keep >&6)
    keeper=$!
    exec 1>/dev/null 6>&-
    exec 8< <(run_script)
    spared=("$!" "$keeper" "$BASHPID")
    read -r _ process_group <&8 || end_by_force lost
    # Only now is there something to stop, and a way to find it before it carries its mark.
    trap 'end_by_force cancelled' TERM
    remember "$unit/supervisor" "$BASHPID"
    while [[ $line != "code "* ]]; do
        IFS= read -r -t "$limit" -u 8 line || {
            (($? > 128)) && end_by_force timeout
            end_by_force lost
        }
        read -r _ word _ <<<"$line"
        if [[ $line == "["* && $word != @(Running|Stopped) ]]; then
            signalled=1
            [[ $word != @(Exit|Done) ]] || signalled=0
        fi
    done
    line=${line#code }
    if ((signalled && line > 128)); then conclude signal "$((line - 128))"; fi
    conclude exit "$line"
}

# What a supervisor in a control group of its own needs to know, as a script: systemd starts it, not we.
write_supervisor() {
    export -p
    declare -p nonce base unit entry operation environment limit spared RS GRACE OUTPUT_KIB MARK
    declare -f quiet_pipe nap recorded record started_at remember alive members reap forget_secrets keep run_script \
        conclude end_by_force in_own_group supervise post_mortem
    # shellcheck disable=SC2016  # expanded by the shell that reads it
    printf '%s\n' 'in_service=1 quiet=' 'if [[ ${1:-} == post ]]; then post_mortem; fi' 'exec 9<&0' supervise
}

# The supervisor itself was killed, or hung past every limit.
post_mortem() {
    recorded "$unit" && exit 0
    in_own_group
    reap "$MARK=$unit" "$group" "$GRACE"
    forget_secrets
    record "$unit" signal 9
    exit 0
}

# KillMode=process: daemons that a successful script leaves behind live on; ends by force are the supervisor's, by
# control group. The lock travels as standard input, because its owner is the open file, not the process.
as_service() {
    write_supervisor >"$unit/supervise"
    systemd-run --quiet --collect --pipe --unit="provisioning-$nonce" --description="provisioning $taskserv $operation" \
        -p KillMode=process -p RuntimeMaxSec="$((${limit%.*} + 60))" -p TimeoutStopSec=30 \
        -p "ExecStopPost=bash $unit/supervise post" bash "$unit/supervise" <&9
}

launch() {
    in_service=0
    local init=''
    read -r init </proc/1/comm
    if ((EUID == 0)) && [[ $init == systemd && -d /run/systemd/system ]]; then
        in_service=1
        as_service && return
        [[ -e $unit/supervisor ]] && return
        in_service=0
    fi
    supervise
}

sweep_old() {
    find "$units" -mindepth 1 -maxdepth 1 -xtype l -delete
    find "$units" -mindepth 1 -maxdepth 1 -mtime +7 -exec test -s '{}/result' ';' -exec rm -rf '{}' +
}

main() {
    places
    settle_in
    exec 9>>"$resource.lock" || finish "refused 0 cannot write to $resources"
    wait_for_lock
    look_back
    ((payload)) || finish absent
    if ((upload_only)); then keep_upload; fi
    deliver
    exec 5< <(launch)
    remember "$unit/relay" "$$"
    exec 9>&-
    if ((sweep)); then sweep_old </dev/null >/dev/null 2>&1 5<&- & fi
    exec cat <&5
}
main
