"""Steps in containers."""

from __future__ import annotations

from collections.abc import Sequence

from provisioning.core.dagu.doing import Container, DockerDoing
from provisioning.core.outside import Content
from provisioning.engine.actions.dagu.work import Done, Work, failed


async def in_container(_work: Work, _container: Container, _doing: DockerDoing) -> Done:
    """Run it."""
    return failed("docker", "containers", retryable=False)


def wrapped(_work: Work, words: Sequence[str | Content]) -> Sequence[str | Content]:
    """Return."""
    return words
