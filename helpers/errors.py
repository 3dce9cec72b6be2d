"""The one error that the course raises on purpose."""


class CourseError(ValueError):
    """Something that the reader can mend, said in one line.

    The command line prints the message alone and exits with 1.
    """
