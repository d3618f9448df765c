"""Every error this package raises on purpose, with its exit code and whether a retry can help.

    ProvisioningError                exit 1
    ├── UsageError                   exit 2    the call is wrong
    ├── ConfigError                  exit 3    an input file is wrong; carries every fault found
    │   ├── StateFileError                     the state file cannot be trusted; it is left as it is
    │   └── TooLarge                           what should travel to another machine is more than may
    ├── NotFoundError                exit 4    a name that nothing has
    ├── ExistsError                  exit 2    a name that something has already
    ├── WaitTimeout                  exit 1    what was waited for has not come in time; also a TimeoutError
    ├── StepFailed                   exit 1    a step failed; carries the run
    │   ├── GateFailed               exit 5    a health gate did not open
    │   ├── StepSkipped              exit 1    a step was not run, because of others
    │   ├── StepCancelled            exit 1    a step was stopped, or its run before it started
    │   ├── ServerFailed             exit 7    a server could not be reached, or refused us
    │   └── Interrupted              exit 130  the operator stopped the run
    ├── LockedError                  exit 6    another runner holds the workspace
    ├── HostError                    exit 7
    │   ├── Unreachable                        no connection, or it was lost; may be retried
    │   ├── HostKeyError                       unknown or changed host key; never retried
    │   ├── LoginRefused                       authentication failed; never retried
    │   └── BecomeRefused                      sudo refused, or wants a password; never retried
    ├── DefinitionError              exit 1    the coordinator will not or cannot give a definition
    │   └── NoCoordinator                      nobody answered; may be retried
    ├── FilterFailed                 exit 1    a jq program is wrong, failed, or took too much
    ├── MailRefused                  exit 1    a letter cannot be sent as it is
    ├── MailFailed                   exit 1    a letter was not sent; may be retried
    └── StoreError                   exit 1    our own storage failed
        ├── StaleRevision                      somebody else committed first
        ├── Fenced                             a newer runner has taken over
        └── ClusterUnreachable                 no NATS server answers; may be retried

Messages are one line, lower case, and name the thing and the value; `hint` says what to do. Only the command line and the
API turn them into text, colour or status codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provisioning.core.faults import Fault


class ProvisioningError(Exception):
    """The root of the tree."""

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ProvisioningError):
    """The call is wrong: an option that contradicts another, a missing argument."""

    code = "usage"
    exit_code = 2


class ConfigError(ProvisioningError):
    """One or more input files are wrong. `faults` has all of them, in file order."""

    code = "invalid_configuration"
    exit_code = 3

    def __init__(self, message: str, *, hint: str = "", faults: Sequence[Fault] = ()) -> None:
        super().__init__(message, hint=hint)
        self.faults = tuple(faults)


class StateFileError(ConfigError):
    """The state file is unreadable, foreign, older or newer than we can trust. It was not touched."""

    code = "invalid_state"


class TooLarge(ConfigError):
    """What should travel to another machine is more than may."""

    code = "too_large"


class NotFoundError(ProvisioningError):
    """A name that nothing has: a workspace, taskserv, server, run."""

    code = "not_found"
    exit_code = 4


class ExistsError(ProvisioningError):
    """A name that something has already, such as a run's."""

    code = "exists"
    exit_code = 2


class WaitTimeout(ProvisioningError, TimeoutError):
    """What was waited for has not come in time. It may still come."""

    code = "wait_timeout"
    retryable = True


class StepFailed(ProvisioningError):
    """A run ended because a step failed. `run_id` names it."""

    code = "step_failed"

    def __init__(self, message: str, *, hint: str = "", run_id: str = "") -> None:
        super().__init__(message, hint=hint)
        self.run_id = run_id


class StepSkipped(StepFailed):
    """A step was not run, because of what became of others."""

    code = "step_skipped"


class StepCancelled(StepFailed):
    """A step was stopped, or its run was before it started."""

    code = "step_cancelled"


class GateFailed(StepFailed):
    """A health gate did not open before its deadline."""

    code = "gate_failed"
    exit_code = 5


class ServerFailed(StepFailed):
    """A run ended because a server could not be reached or refused login."""

    code = "server_failed"
    exit_code = 7


class Interrupted(StepFailed):
    """The operator stopped the run; what was running was stopped and recorded."""

    code = "interrupted"
    exit_code = 130


class LockedError(ProvisioningError):
    """Another runner holds the workspace."""

    code = "locked"
    exit_code = 6


class HostError(ProvisioningError):
    """A server could not be used. `server` names it."""

    code = "host"
    exit_code = 7

    def __init__(self, message: str, *, hint: str = "", server: str = "") -> None:
        super().__init__(message, hint=hint)
        self.server = server


class Unreachable(HostError):
    """No connection could be made, or it was lost."""

    code = "unreachable"
    retryable = True


class HostKeyError(HostError):
    """The server's host key is unknown, or is not the one we know."""

    code = "host_key"


class LoginRefused(HostError):
    """The server refused every way to log in that we have."""

    code = "login_refused"


class BecomeRefused(HostError):
    """The login worked, but becoming root did not."""

    code = "become_refused"


class DefinitionError(ProvisioningError):
    """The coordinator refuses a definition, its store is broken, or what it sent is."""

    code = "definition"


class NoCoordinator(DefinitionError):
    """Nobody who has definitions answered in time."""

    code = "no_coordinator"
    retryable = True


class FilterFailed(ProvisioningError):
    """A jq program is wrong, failed on its input, or took more than it may have."""

    code = "filter"


class MailRefused(ProvisioningError):
    """A letter cannot be sent as it is: a wrong address, a refused login or recipient, a file that is not there."""

    code = "mail_refused"


class MailFailed(ProvisioningError):
    """A letter was not sent: no connection, or a server that said to try again later."""

    code = "mail"
    retryable = True


class StoreError(ProvisioningError):
    """Our own storage failed: disk full, read-only, failed fsync, damaged database."""

    code = "store"


class StaleRevision(StoreError):
    """A commit was based on a revision that is no longer the newest."""

    code = "stale"
    retryable = True


class Fenced(StoreError):
    """A newer runner has taken over; this one must stop."""

    code = "fenced"


class ClusterUnreachable(StoreError):
    """No NATS server answers, or the connection to it was lost."""

    code = "cluster_unreachable"
    retryable = True
