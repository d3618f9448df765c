#!/usr/bin/env bash
# base: folders, the `service` tool and the library of the demo's services.
set -euo pipefail
home=${DEMO_ROOT:-$HOME/provisioning-demo}

case ${1:-install} in
    install | update)
        command -v python3 >/dev/null || { echo 'base: python3 is missing on this server' >&2; exit 1; }
        mkdir -p "$home"/{bin,lib,run,log,data}
        install -m 755 service "$home/bin/service"
        install -m 644 demo_service.py "$home/lib/demo_service.py"
        echo "base is in $home, $(python3 --version)"
        ;;
    status) test -x "$home/bin/service" && echo 'base is installed' ;;
    remove)
        for record in "$home"/run/*.pid; do # services that are still there cannot do without
            [ ! -e "$record" ] || "$home/bin/service" stop "$(basename "$record" .pid)"
        done
        rm -rf "${home:?}"/{bin,lib}
        ;;
    *) echo "base: no operation '$1'" >&2; exit 2 ;;
esac
