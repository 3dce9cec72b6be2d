"""The one error that the course raises on purpose, and how it is said."""

import os
import sys
import traceback
import unicodedata

# An environment variable: whoever says an error in one line shows also where it was raised.
DEBUG = "COURSE_DEBUG"
# Unicode's kinds of signs that steer a terminal, turn what is written, or end a line.
_STEERS = {"Cc", "Cf", "Zl", "Zp"}


class CourseError(ValueError):
    """Something that the reader can mend, said in one line.

    The command line prints the message alone, and exits with 2 if it has started nothing, else with 1.

    Parameters
    ----------
    message : object
        What went wrong, and what to do; it is made `readable`.
    """

    def __init__(self, message: object = ""):
        super().__init__(readable(str(message)))

    def _render_traceback_(self) -> list[str]:
        """Give IPython the lines to show: where it was raised does not help a reader to mend it."""
        shown = _traceback(self) if os.environ.get(DEBUG) else f"{type(self).__name__}: {self}"
        return shown.splitlines()


def readable(text: str) -> str:
    r"""Write a text in one line that leaves a terminal alone: a name may hold anything.

    Parameters
    ----------
    text : str
        A message, with names of files in it.

    Returns
    -------
    str
        The end of a line is written as ``\n``, and what would move the cursor as ``\x1b``. Bytes that are no
        text stay.
    """
    return "".join(
        sign.encode("unicode_escape").decode() if unicodedata.category(sign) in _STEERS else sign
        for sign in text
    )


def trace(error: BaseException) -> None:
    """Write where an error was raised, and what led to it, to standard error, if COURSE_DEBUG is set.

    Parameters
    ----------
    error : BaseException
        What is going to be said in one line.
    """
    if os.environ.get(DEBUG):
        print(_traceback(error), file=sys.stderr)


def _traceback(error: BaseException) -> str:
    """Write a traceback with the errors that `raise ... from None` hides."""
    hidden = error
    while hidden is not None:
        hidden.__suppress_context__ = False
        hidden = hidden.__cause__ or hidden.__context__
    return "".join(traceback.format_exception(error)).rstrip()
