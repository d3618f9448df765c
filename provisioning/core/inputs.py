"""What a node is made from, as one number: when it differs from the recorded one, the node's inputs have changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from provisioning.core.declare import Node, Profile, Taskserv
from provisioning.core.params import fill_params
from provisioning.core.suggest import nearest
from provisioning.errors import NotFoundError


def given_params(taskserv: Taskserv, node: Node, workspace_params: Mapping[str, object]) -> dict[str, object]:
    """Return what the workspace and, over it, the node say of a node's params. Secrets are names, never values.

    Of the workspace's params a node gets those that its taskserv declares, so that adding one for redis does not make
    kubernetes look changed.
    """
    shared = {name: workspace_params[name] for name in taskserv.params if name in workspace_params}
    return {**shared, **node.params}


def merged_params(taskserv: Taskserv, node: Node, workspace_params: Mapping[str, object]) -> dict[str, object]:
    """Return the params that a node is rendered with: the taskserv's defaults, then the workspace's, then the node's own."""
    return fill_params(taskserv.params, given_params(taskserv, node, workspace_params))


def input_digest(taskserv: Taskserv, node: Node, workspace_params: Mapping[str, object]) -> str:
    """Return the SHA-256, in hex, of everything that decides what the node installs. The order of params has no part in it.

    Secrets enter by reference: a rotated password is no change. Raises NotFoundError for a profile that is not there.
    """
    inputs = {
        "name": taskserv.name,
        "version": taskserv.version,
        "profile": node.profile,
        "files": profile_of(taskserv, node.profile).files_digest,
        "params": merged_params(taskserv, node, workspace_params),
    }
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def profile_of(taskserv: Taskserv, name: str) -> Profile:
    """Return a profile by name. Raises NotFoundError with the nearest name."""
    profile = taskserv.profiles.get(name)
    if profile is None:
        near = nearest(name, taskserv.profiles)
        hint = f"did you mean {near}?" if near else f"profiles: {', '.join(taskserv.profiles) or 'none'}"
        raise NotFoundError(f"taskserv {taskserv.name} has no profile {name}", hint=hint)
    return profile


def _plain(value: object) -> object:
    """Return read-only mappings as what JSON knows. Anything else was no JSON value when it was read."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"no JSON value: {type(value).__name__}")
