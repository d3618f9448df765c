# shellcheck shell=bash
# Runs a command, passes its two streams on, kills it with all its children when its time is over or the channel closes.
# shellcheck disable=SC2154,SC2034  # set by the header; read by reap

mark=PROVISIONING_PROBE=$nonce
frame() {
    printf '%s@%s %s\n' "$RS" "$nonce" "$1"
    printf '%s@%s %s\n' "$RS" "$nonce" "$1" >&2
}
frame "begin $nonce "

exec 8<> <(:)
( # the command, in a process group of its own
    exec 9>&2 2>/dev/null
    set -m
    export "PROVISIONING_PROBE=$nonce"
    bash -c "$command" </dev/null 2>&9 4>&- 8>&- 9>&- &
    group=$!
    wait "$group"
    code=$?
    kill -0 -- "-$group" && left=' left'
    printf 'code %s%s\n' "$code" "${left:-}" >&8
) &
( # the channel: its end of input is how we learn that the runner is gone
    exec >/dev/null 2>&1
    IFS= read -r _
    printf 'gone 0 left\n' >&8
) <&0 &
watcher=$!

verdict='timeout 0'
IFS=' ' read -r -t "$limit" -u 8 word code left || left=left
case $word in
code) verdict="exit $code" ;;
gone) verdict='gone 0' ;;
esac
if [[ $left ]]; then reap "$mark" '' 1; fi
kill "$watcher" 2>/dev/null
frame "$verdict ."
