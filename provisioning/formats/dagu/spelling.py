"""How keys are spelled: snake_case now, camelCase and in any case up to Dagu 1.16, and by older names.

Each kind of map has a table. A key finds its current name by its letters alone: `workingDir`, `working_dir` and
`WORKINGDIR` are one key.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from provisioning.core.frozen import dataclass


@lru_cache(maxsize=1024)
def folded(key: str) -> str:
    """Return the letters of a key."""
    return key.replace("_", "").lower()


@dataclass(frozen=True, slots=True)
class Table:
    """The keys of one kind of map: letters -> current name, and why some of them refuse the DAG."""

    names: Mapping[str, str]
    refused: Mapping[str, str]

    def name(self, key: str) -> str | None:
        """Return the current name of a key, None where there is none."""
        found = self.names.get(key)
        return found if found is not None else self.names.get(folded(key))


def table(keys: str, refused: Mapping[str, str] | None = None, **older: str) -> Table:
    """Make a table of space-separated names; `older` maps an older name to the current one."""
    refused = refused or {}
    names = {folded(key): key for key in (*keys.split(), *refused)}
    return Table({**names, **{folded(old): new for old, new in older.items()}}, refused)


FRINGE_DAG: Mapping[str, str] = {
    "consts": "constants are not supported; use env",
    "artifacts": "artifact folders are not supported",
    "artifact_dir": "artifact folders are not supported",
    "enable_artifact": "artifact folders are not supported",
    "registry_auths": "logins for image registries are not supported; log in with docker login",
    "s3": "S3 steps are not supported",
    "redis": "Redis steps are not supported",
    "kubernetes": "Kubernetes steps are not supported",
    "llm": "steps that ask a language model are not supported",
    "harness": "harness steps are not supported",
    "harnesses": "harness steps are not supported",
    "tools": "tools are not installed for a run",
    "resources": "limits of processor and memory are not supported",
    "webhook": "webhooks are not supported",
    "forward_headers": "webhooks are not supported",
    "step_types": "custom step types are not supported",
    "actions": "custom actions are not supported",
    "tasks": "agent DAGs are not supported",
    "functions": "functions of Dagu 1 are not supported; make the function a document of its own and call it",
}
FRINGE_STEP: Mapping[str, str] = {
    "shell_packages": "packages for nix-shell are not supported",
    "output_schema": "schemas of outputs are not supported",
    "outputs": "outputs by $DAGU_OUTPUT_FILE are not supported; use output",
    "inputs": "build DAGs are not supported",
    "dependencies": "files for workers are not supported",
    "llm": "steps that ask a language model are not supported",
    "messages": "steps that ask a language model are not supported",
    "tools": "tools are not installed for a run",
    "agent": "agent steps are not supported",
}

DAG = table(
    "name description group labels type schedule skip_if_successful catchup_window overlap_policy params env dotenv secrets "
    "working_dir shell shell_args steps handler_on preconditions defaults max_active_steps max_active_runs queue timeout_sec "
    "delay_sec restart_wait_sec max_clean_up_time_sec max_output_size retry_policy hist_retention_days hist_retention_runs "
    "log_dir log_output smtp mail_on error_mail info_mail wait_mail container ssh worker_selector run_config otel tags",
    FRINGE_DAG,
    precondition="preconditions",
    dir="working_dir",
)
STEP = table(
    "name id description run command script exec action with config type executor shell shell_args working_dir env depends "
    "preconditions continue_on retry_policy repeat_policy timeout_sec signal_on_stop mail_on_error stdout stderr log_output "
    "output call params parallel foreach approval worker_selector container value routes function",
    FRINGE_STEP,
    precondition="preconditions",
    dir="working_dir",
)
DEFAULTS = table(
    "retry_policy continue_on repeat_policy timeout_sec mail_on_error signal_on_stop env preconditions",
    precondition="preconditions",
)
HANDLERS = table("init success failure abort exit wait", cancel="abort")
SCHEDULE = table("start stop restart")
MOMENT = table("expression at", {"profile": "profiles are not supported"})
PARAM = table(
    "name type default eval required enum minimum maximum min_length max_length pattern description",
)
SCHEMA = table("type properties required title description additional_properties")
PROPERTY = table("type default enum minimum maximum min_length max_length pattern description title")
SECRET = table("name provider key ref options")
CONDITION = table("condition eval expected negate", command="condition")
CONTINUE_ON = table("failure skipped exit_code output mark_success", failed="failure")
RETRY = table("limit interval_sec backoff max_interval_sec exit_code")
REPEAT = table("repeat interval_sec limit condition expected exit_code backoff max_interval_sec")
SMTP = table("host port username password", {"oauth": "mail servers with OAuth are not supported"})
MAIL_ON = table("failure success wait")
MAIL_TO = table("from to prefix attach_logs")
RUN_CONFIG = table("disable_param_edit disable_run_id_edit")
OTEL = table("enabled endpoint headers insecure timeout resource")
OUTPUT = table("name key omit")
OUTPUT_ENTRY = table("value from path decode select")
APPROVAL = table(
    "prompt input required", {"rewind_to": "going back to an earlier step is not supported; reject, and retry from it"}
)
REDIRECT = table("", {"artifact": "artifact folders are not supported", "outputs": "outputs of a stream are not supported"})
PARALLEL = table("items max_concurrent")
FOREACH = table("items as key max_concurrent steps collect")
EXEC = table("command args")
EXECUTOR = table("type config")
HTTP = table("method url headers query body timeout_sec silent debug json skip_tls_verify", timeout="timeout_sec")
SSH = table(
    "host user port key password known_host_file strict_host_key timeout_sec shell shell_args command script",
    {"bastion": "a jump host belongs into ~/.ssh/config here"},
    ip="host",
    timeout="timeout_sec",
)
CONTAINER = table(
    "image exec name pull_policy env volumes user working_dir platform ports network keep_container shell command",
    {
        "startup": "how a container starts is not supported",
        "wait_for": "waiting for a container's state is not supported",
        "log_pattern": "waiting for a container's log is not supported",
        "restart_policy": "restart policies of containers are not supported",
        "healthcheck": "health checks of containers are not supported",
    },
    work_dir="working_dir",
    dir="working_dir",
    container_name="name",
    pull="pull_policy",
)
DOCKER = table(
    "image container_name pull auto_remove platform working_dir env volumes user ports network command script container host"
    " exec",
    name="container_name",
    pull_policy="pull",
)
DOCKER_CONTAINER = table("env working_dir user")
DOCKER_HOST = table("binds")
JQ = table("filter data raw", query="filter", input="data")
MAIL = table("from to cc bcc subject message attachments", body="message")
SUB_DAG = table("dag params", name="dag")
SHELL = table("command script shell shell_args args")
ROUTER = table("value routes")
HUMAN = table("prompt input required")
FUNCTION = table("id params", name="id")
NOTHING = table("")
