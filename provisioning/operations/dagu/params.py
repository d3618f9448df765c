"""What a DAG file declares as parameters, also where `params` is one text: as the start of a run reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from provisioning.core.dagu.declared import DagFile, Param
from provisioning.core.dagu.params import parse_params
from provisioning.errors import UsageError


def declared(dag: DagFile) -> Sequence[Param]:
    """Return the parameters in order. A text that cannot be read declares none: the run says so."""
    text = dag.params_text
    if text is None:
        return dag.params
    try:
        return [Param(name=one.name or None, default=replace(text, raw=one.value)) for one in parse_params(text.raw)]
    except UsageError:
        return []
