"""The nearest known name to one that nothing has."""

from __future__ import annotations

from collections.abc import Collection, Iterable

CUTOFF = 0.6
_LENGTH_LIMIT = 128  # longer ones are no typing errors of ours
_CANDIDATE_LIMIT = 4_000  # names that are compared letter by letter for one question
_LARGE = 1_000  # names from which on the number of questions is limited too
_QUESTION_LIMIT = 50


def nearest(name: str, known: Iterable[str], cutoff: float = CUTOFF) -> str | None:
    """Return the known name that is most like `name`, or None when none reaches `cutoff` (0 to 1).

    Likeness is 1 - edits / length, where swapping two neighbours is one edit and case is ignored. Ties go to the first.
    Of more than 4,000 names only those are compared that share the longest beginning or end with `name`.
    """
    if not name or len(name) > _LENGTH_LIMIT:
        return None
    folded, best, best_score = name.casefold(), None, cutoff
    for other in _candidates(folded, known, cutoff):
        longest = max(len(folded), len(other))
        edits = distance(folded, other.casefold(), int(longest * (1 - best_score) + 1e-9))
        score = 1 - edits / longest
        if score > best_score or (best is None and score == best_score):
            best, best_score = other, score
    return best


def distance(left: str, right: str, limit: int) -> int:
    """Return the edits between two texts, or a number above `limit` as soon as it is known to be above."""
    before: list[int] = []
    above: list[int] = []
    row = list(range(len(right) + 1))
    for index, letter in enumerate(left, start=1):
        before, above, row = above, row, [index]
        for column, other in enumerate(right, start=1):
            cost = min(above[column] + 1, row[-1] + 1, above[column - 1] + (letter != other))
            swapped = index > 1 and column > 1 and letter == right[column - 2] and left[index - 2] == other
            row.append(min(cost, before[column - 2] + 1) if swapped else cost)
        if min(row) > limit and min(above) > limit:
            return limit + 1
    return row[-1]


class Suggester:
    """Answers `did you mean` for one list of names; after 50 questions about a large one it stays silent."""

    def __init__(self, known: Collection[str]) -> None:
        self._known = known
        self._left = _QUESTION_LIMIT if len(known) > _LARGE else len(known) + 1_000

    def hint(self, name: str) -> str:
        """Return `did you mean "x"?`, or nothing."""
        if self._left <= 0:
            return ""
        self._left -= 1
        found = nearest(name, self._known)
        return f'did you mean "{found}"?' if found else ""


def _candidates(name: str, known: Iterable[str], cutoff: float) -> list[str]:
    least, most = len(name) * cutoff, len(name) / cutoff if cutoff > 0 else _LENGTH_LIMIT
    fitting = [other for other in known if least <= len(other) <= most]
    if len(fitting) <= _CANDIDATE_LIMIT:
        return fitting
    for size in range(len(name) - 1, len(name) // 2 - 1, -1):
        head, tail = name[:size], name[-size:]
        if alike := [other for other in fitting if other.startswith(head) or other.endswith(tail)]:
            return alike[:_CANDIDATE_LIMIT]
    return []
