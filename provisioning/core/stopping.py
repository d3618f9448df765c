"""How a plain `sh`, on another machine or in a container, ends the processes of something and says when they are gone."""

from __future__ import annotations


def stop_script(mark: str, *, group: int = 0, signal: str = "TERM", grace_s: float = 5.0) -> str:
    """Return a script without single quotes that exits with 0 once all is gone: asked first, killed after `grace_s`.

    `mark` is a variable of theirs, as NAME=value, found wherever there is a /proc; they may also be a process group. Both are
    letters, digits and `_=-` only.
    """
    known = f"kill -s 0 -- -{group} 2>/dev/null && live || " if group else ""
    told = f"kill -s $1 -- -{group} 2>/dev/null; " if group else ""
    steps = (
        f"m() {{ for e in $(grep -la {mark} /proc/[0-9]*/environ 2>/dev/null);"
        " do e=${e#/proc/}; echo ${e%/environ}; done; }",
        # A group still exists while its parent, which may take seconds, has not looked after the last of it: state Z.
        "live() { for f in /proc/[0-9]*/stat; do read -r s < $f || continue; set -- ${s##*) };"
        f' case $1 in Z) ;; *) [ "$3" = {group} ] && return 0 ;; esac; done 2>/dev/null;'
        " [ -e /proc/self/stat ] && return 1; return 0; }",
        f'there() {{ {known}[ -n "$(m)" ]; }}',
        f"tell() {{ {told}for p in $(m); do kill -s $1 $p 2>/dev/null; done; }}",
        "await() { i=$1; while there; do [ $i -gt 0 ] || return 1; i=$((i-1)); sleep 0.1 2>/dev/null || sleep 1; done; }",
        f"tell {signal}",
        "tell CONT",  # a stopped one would not hear it
        f"await {max(0, round(grace_s * 10))} && exit 0",
        "tell KILL",
        "await 50",
    )
    return "; ".join(steps)
