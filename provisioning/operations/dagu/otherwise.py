"""What somebody who starts a DAG wants otherwise than its file says."""

from __future__ import annotations

from dataclasses import replace

from provisioning.core.dagu.declared import DagFile
from provisioning.core.dagu.doing import Text
from provisioning.core.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Otherwise:
    """What a run has otherwise. `queue` "" is none; `folder` is where it runs if its file does not say, an absolute path."""

    name: str = ""
    queue: str | None = None
    folder: str = ""

    def changed(self, dag: DagFile) -> DagFile:
        """Return a DAG as this wants it."""
        default = Text(raw=self.folder, line=0, column=0) if self.folder else None
        return replace(
            dag,
            name=self.name or dag.name,
            queue=dag.queue if self.queue is None else self.queue,
            working_dir=dag.working_dir or default,
        )


AS_IT_SAYS = Otherwise()
"""Nothing."""
