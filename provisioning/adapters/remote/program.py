"""The wrapper as it travels: a constant command, and on its standard input a program in Perl.

Perl, because every Debian and Ubuntu has it (perl-base is essential there), because it starts in two milliseconds, and
because it has what bash has not: waiting for a process and for output at once, locks, fsync, and the true end of a child.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

HELLO = b"@provisioning hello"
_PARTS = ("common", "places", "processes", "start", "supervise", "loop")
_LATER = ("earlier", "probe", "reap", "secrets", "service", "stop", "upload")  # compiled when they are needed
# Skips to the mark, because a password that sudo did not ask for may come first; then reads exactly the program, no byte
# more. All words go to standard output: those on standard error may arrive before or after. No single quotes and no
# backslashes inside, so that sh, bash, dash, zsh and fish read it alike.
_BOOTSTRAP = (
    "open STDERR, q(>&STDOUT); syswrite STDOUT, q(@provisioning hello) . chr 10; "
    "$ENV{PROVISIONING_HOME} = $ARGV[0] if length $ARGV[0]; "
    "sub l { my $l = q(); while (sysread STDIN, my $c, 1) { return $l if $c eq chr 10; $l .= $c } exit 1 } "
    "my $n; 1 until ($n = l()) =~ s/^.begin //; my $s = l(); $PROGRAM = q(); "
    "while (length $PROGRAM < $s) { sysread STDIN, $PROGRAM, $s - length $PROGRAM, length $PROGRAM or exit 1 } "
    "eval $PROGRAM; die $@ if $@; serve_requests($n)"
)
_PERL = f"perl -e '{_BOOTSTRAP}'"
COMMAND = f'exec {_PERL} ""'
_AS_ROOT = f'-- {_PERL} "$PROVISIONING_HOME"'  # sudo drops the environment, so the folder is handed over
SUDO_PROMPT = "@provisioning password"
SUDO_COMMAND = f"exec sudo -n {_AS_ROOT} 2>&1"
SUDO_PASSWORD_COMMAND = f"exec sudo -S -p '{SUDO_PROMPT}' {_AS_ROOT} 2>&1"


def program_bytes(nonce: str) -> bytes:
    """Return what starts the wrapper; its answers begin with a line that has the nonce."""
    text = _program()
    return f"@begin {nonce}\n{len(text)}\n".encode("ascii") + text


@cache
def _program() -> bytes:
    """Return the parts without comments, and without the checks that are for where it is developed."""
    later = (f"$LATER{{{name}}} = <<'END_OF_{name}';\n{_part(name)}END_OF_{name}\n" for name in _LATER)
    return "".join((*map(_part, _PARTS), *later)).encode("ascii")


def _part(name: str) -> str:
    text = files(__package__).joinpath("wrapper", f"{name}.pl").read_text("ascii")
    lines = (line.partition("  # ")[0].strip() for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith(("#", "use ", "no ")))
