# shellcheck shell=bash
# Stops a unit and answers when it is gone. A unit that has not begun is cancelled in advance.
# shellcheck disable=SC2154  # set by the header

places
settle_in
exec 9>>"$resource.lock"
asked=0

# Puts a finished unit where a start would put its own. Each side writes, then looks for what the other has written.
cancel_unborn() {
    local cancelled=$units/.$nonce
    mkdir -m 700 "$cancelled" && record "$cancelled" cancelled 0
    mv -T "$cancelled" "$unit" 2>/dev/null || rm -rf "$cancelled"
    if claimed "$unit"; then rm -f "$unit/result"; fi
}

deadline=$((SECONDS + limit))
while ((SECONDS < deadline)); do
    if [[ -L $unit ]]; then # it follows another one
        name=$(readlink "$unit") unit=$units/$name
    fi
    recorded "$unit" && finish "$kind $code"
    if flock -n 9; then # nobody supervises it
        recorded "$unit" && finish "$kind $code"
        if [[ -d $unit ]]; then
            reap "$MARK=$unit" '' "$GRACE" || finish 'unknown 0 its processes do not end'
            forget_secrets
            rm -rf "$unit/bundle"
            record "$unit" cancelled 0
        else
            cancel_unborn
        fi
        continue
    fi
    newest
    if [[ $current == "$name" ]] && alive "$unit/supervisor"; then
        ((asked)) || kill -TERM "$pid"
        asked=1
    elif [[ ! -e $unit ]]; then # another unit holds the resource; ours waits for it
        cancel_unborn
    fi
    nap 0.05
done
finish 'unknown 0 it did not stop in time'
