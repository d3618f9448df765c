"""A sudo of our own in front of a throw-away server's, that behaves as sudo does in good and in bad times."""

from __future__ import annotations

from pathlib import Path

from support.real import RealWorkspace

PASSWORD = "open sesame 'with' \"quotes\""
SUDO = r"""#!/bin/bash
mode=$(cat "{folder}/mode")
ask=never prompt=
while [[ $1 == -* ]]; do
    case $1 in -S) ask=stdin ;; -p) prompt=$2; shift ;; --) shift; break ;; esac
    shift
done
refuse() { echo "sudo: $1" >&2; exit 1; }
case $mode in
free) ask=free ;;
lecture) printf 'We trust you have received the usual lecture.\n\n    #1) Respect the privacy of others.\n\n' >&2 ;;
tty) refuse "sorry, you must have a tty to run sudo" ;;
expired) refuse "Account or password is expired, reset your password and try again" ;;
nobody) echo "me is not in the sudoers file." >&2; exit 1 ;;
hung) sleep 9755 ;;
esac
[[ $ask == never ]] && refuse "a password is required"
if [[ $ask == stdin ]]; then
    for try in 1 2 3; do
        printf '%s' "$prompt" >&2
        IFS= read -r line || refuse "no password was provided"
        [[ $line == "$(cat "{folder}/password")" ]] && ok=1 && break
        sleep 2
        echo "Sorry, try again." >&2
    done
    [[ $ok ]] || refuse "3 incorrect password attempts"
fi
exec env -i PATH="$PATH" HOME="$HOME" {kept} "$@"
"""


class Sudo:
    """`mode` is how it behaves: password, free, lecture, tty, expired, nobody, hung."""

    def __init__(self, workspace: RealWorkspace, name: str) -> None:
        self.folder = workspace.folder.parent / "sudo"
        self.folder.mkdir()
        server = workspace.servers.server(name)
        kept = f"PROVISIONING_HOME={server.home} DEMO_ROOT={server.root}"
        (self.folder / "sudo").write_text(SUDO.replace("{folder}", str(self.folder)).replace("{kept}", kept), "utf-8")
        (self.folder / "sudo").chmod(0o755)
        (self.folder / "password").write_text(PASSWORD, "utf-8")
        force(workspace, f'PATH={self.folder}:$PATH; export PATH; eval \\"$SSH_ORIGINAL_COMMAND\\"')

    def behave(self, mode: str) -> None:
        """Behave so from now on."""
        (self.folder / "mode").write_text(mode, "utf-8")


def force(workspace: RealWorkspace, command: str) -> None:
    """Have a server run this whatever it is asked to run, as for accounts that may not log in."""
    public = workspace.servers.client_key.with_suffix(".pub")
    key = "ssh-ed25519 " + public.read_text("utf-8").partition("ssh-ed25519 ")[2]
    public.write_text(f'command="{command}" {key}', "utf-8")


def missing(folder: Path) -> str:
    """Return a forced command with a PATH on which there is everything but sudo."""
    folder.mkdir()
    for place in map(Path, ("/usr/bin", "/bin")):
        for program in place.iterdir():
            if program.name != "sudo" and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    return f'PATH={folder}; export PATH; eval \\"$SSH_ORIGINAL_COMMAND\\"'
