"""The votes of "Real or colorized?": read from the files that the gallery's page hands out, and pooled.

The test is that of Zhang, Isola and Efros (2016, https://arxiv.org/abs/1603.08511): a photograph and a
coloring of it are seen for a second, and the viewer says which one is made up. A network that nobody can tell
from the truth fools its viewers in half of the rounds.
"""

import csv
import math
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import binomtest

from helpers.errors import CourseError, readable, trace

ROUNDS = 40
# In so many of the rounds the made-up picture has another photograph's colors: who looks will see it.
CATCH_ROUNDS = 8
MOST_MISSED = 2
CATCH = "catch trial"  # what stands in such a round for the network
COLUMNS = ("gallery", "play", "seed", "round", "photograph", "network", "made_up", "answer", "check")
SIDES = ("left", "right")
_MOST_BYTES = 100_000


@dataclass(frozen=True)
class Play:
    """One viewer's forty rounds.

    Attributes
    ----------
    gallery : str
        Which pictures were played with: the same for the same photographs and networks.
    play : str
        Drawn at random when the game began, so that no play is counted twice.
    fooled : tuple of (str, bool)
        For each round the network, or `CATCH`, and whether the photograph was taken for the made-up one.
    """

    gallery: str
    play: str
    fooled: tuple[tuple[str, bool], ...]

    @property
    def missed(self) -> int:
        """How many catch trials fooled the viewer."""
        return sum(fooled for network, fooled in self.fooled if network == CATCH)

    @property
    def counts(self) -> bool:
        """Whether the viewer passes the catch trials."""
        return self.missed <= MOST_MISSED


def chance_to_pass() -> float:
    """Compute how often who answers at random passes the catch trials.

    Returns
    -------
    float
        A probability, 0 to 1.
    """
    return sum(math.comb(CATCH_ROUNDS, missed) for missed in range(MOST_MISSED + 1)) / 2**CATCH_ROUNDS


def rule() -> str:
    """Say who is left out.

    Returns
    -------
    str
        Sentences.
    """
    return (
        f"In {CATCH_ROUNDS} of the {ROUNDS} rounds the made-up picture has another photograph's colors. "
        f"Who misses more than {MOST_MISSED} of them is left out; who answers at random passes "
        f"in {_percent(chance_to_pass())} of the games."
    )


def read(path: Path) -> Play:
    """Read the file of one play.

    Parameters
    ----------
    path : Path
        A CSV file that the gallery's page has handed out.

    Returns
    -------
    Play
        What it says.

    Raises
    ------
    CourseError
        If it cannot be read, is no such file, or is not as it was handed out.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise CourseError("too large for the votes of one game")
        text = path.read_bytes().decode("utf-8-sig")
        rows = list(csv.reader(text.splitlines(), strict=True))
    except OSError as error:
        raise CourseError(error.strerror or str(error)) from None
    except (UnicodeDecodeError, csv.Error):
        raise CourseError("not a CSV file of the gallery") from None
    if not rows:
        raise CourseError("empty")
    if tuple(rows[0]) != COLUMNS:
        raise CourseError(f"not the votes of a gallery: its first line is not {','.join(COLUMNS)}")
    if any(len(row) != len(COLUMNS) or row[-1] != check(row[:-1]) for row in rows[1:]):
        raise CourseError("a line of it is not as the gallery wrote it: it was edited, or cut")
    votes = [dict(zip(COLUMNS, row, strict=True)) for row in rows[1:]]
    if [vote["round"] for vote in votes] != [str(number + 1) for number in range(ROUNDS)]:
        raise CourseError(
            f"it does not hold rounds 1 to {ROUNDS}, each once and in order: it was edited, or cut"
        )
    if any(len({vote[name] for vote in votes}) > 1 for name in ("gallery", "play", "seed")):
        raise CourseError("it holds lines of several games: it was edited")
    sides = {vote[name] for vote in votes for name in ("made_up", "answer")}
    if not sides <= set(SIDES) or sum(vote["network"] == CATCH for vote in votes) != CATCH_ROUNDS:
        raise CourseError("its rounds are not those of a game: it was edited")
    fooled = tuple((vote["network"], vote["answer"] != vote["made_up"]) for vote in votes)
    return Play(votes[0]["gallery"], votes[0]["play"], fooled)


def check(fields: Sequence[str]) -> str:
    """Compute what ends a line, so that a change by mistake is noticed; it keeps out nobody who means it.

    Parameters
    ----------
    fields : sequence of str
        The line's other fields.

    Returns
    -------
    str
        Their CRC-32, eight hexadecimal digits.
    """
    return f"{zlib.crc32(chr(10).join(fields).encode()):08x}"


def pool(plays: Iterable[Play]) -> dict[str, tuple[int, int]]:
    """Add up the votes of all who pass the catch trials.

    Parameters
    ----------
    plays : iterable of Play
        The plays.

    Returns
    -------
    dict of str to (int, int)
        Network → how often it fooled, in how many rounds; in the order in which networks come up.
    """
    fooled, rounds = Counter(), Counter()
    for play in plays:
        for network, was_fooled in play.fooled if play.counts else ():
            if network != CATCH:
                fooled[network] += was_fooled
                rounds[network] += 1
    return {network: (fooled[network], rounds[network]) for network in rounds}


def interval(fooled: int, rounds: int) -> tuple[float, float]:
    """Compute the 95 % interval of a share after Wilson (1927, https://doi.org/10.2307/2276774).

    Parameters
    ----------
    fooled, rounds : int
        How often, of how many; at least one round.

    Returns
    -------
    low, high : float
        0 to 1.
    """
    found = binomtest(fooled, rounds).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def read_all(paths: Iterable[Path]) -> dict[Path, Play]:
    """Read the files of a class, and leave out those that cannot be pooled.

    Files that were played on the pictures of another gallery than most are not added to them.

    Parameters
    ----------
    paths : iterable of Path
        CSV files that the gallery's page has handed out.

    Returns
    -------
    dict of Path to Play
        What is left; each file that is not among it was named on standard error with the reason.
    """
    plays: dict[Path, Play] = {}
    for path in paths:
        try:
            play = read(path)
            if same := [other for other, earlier in plays.items() if earlier.play == play.play]:
                raise CourseError(f"the same game as {same[0]}")
            plays[path] = play
        except CourseError as error:
            trace(error)
            _refuse(path, error)
    most = Counter(play.gallery for play in plays.values()).most_common(1)
    for path, play in list(plays.items()):
        if play.gallery != most[0][0]:
            _refuse(path, f"played on other pictures ({play.gallery}) than most ({most[0][0]})")
            del plays[path]
    return plays


def rows(pooled: Mapping[str, tuple[int, int]]) -> dict[str, dict[str, str]]:
    """Lay pooled votes out as the rows of a table.

    Parameters
    ----------
    pooled : mapping of str to (int, int)
        What `pool` returned.

    Returns
    -------
    dict of str to dict of str to str
        Network → column → text.
    """
    found = {}
    for network, (fooled, rounds) in pooled.items():
        low, high = interval(fooled, rounds)
        found[network] = {
            "votes": str(rounds),
            "fooled": _percent(fooled / rounds),
            "95 % interval": f"{_percent(low)} to {_percent(high)}",
        }
    return found


def report(paths: Sequence[Path]) -> int:
    """Pool the files of a class, and print what each said and what all say together.

    Parameters
    ----------
    paths : sequence of Path
        As for `read_all`.

    Returns
    -------
    int
        How many files could not be used; each was named on standard error with the reason.
    """
    plays = read_all(paths)
    for path, play in plays.items():
        verdict = "counted" if play.counts else f"left out: more than {MOST_MISSED}"
        print(_line(path, f"missed {play.missed} of {CATCH_ROUNDS} catch trials; {verdict}"))
    counted = sum(play.counts for play in plays.values())
    print(f"{counted} of {len(paths)} files counted. {rule()}")
    if pooled := pool(plays.values()):
        print(_table(rows(pooled)))
        print("50 % would mean that nobody can tell. The intervals take every vote for one of its own;")
        print("votes of one person are more alike, so the true intervals are somewhat wider.")
    return len(paths) - len(plays)


def _refuse(path: Path, reason: object) -> None:
    print(_line(path, reason), file=sys.stderr)


def _line(path: Path, says: object) -> str:
    return readable(f"{path}: {says}")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _table(found: Mapping[str, Mapping[str, str]]) -> str:
    head = ("network", *next(iter(found.values())))
    rows = [head, *((network, *cells.values()) for network, cells in found.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    )
