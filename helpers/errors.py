"""The one error that the course raises on purpose."""


class CourseError(ValueError):
    """Something that the reader can mend, said in one line.

    The command line prints the message alone, and exits with 2 if it has started nothing, else with 1.
    """

    def _render_traceback_(self) -> list[str]:
        """Give IPython the lines to show: where it was raised does not help a reader to mend it."""
        return [f"{type(self).__name__}: {self}"]
