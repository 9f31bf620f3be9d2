"""The one kind of error that a user is meant to read.

Not for programming errors: those keep their traceback.
"""

from __future__ import annotations


class UserError(Exception):
    """A mistake of input, configuration or environment that its user can mend.

    Its text is one or two clear sentences: what is wrong, where, and what to do. The command
    line prints it without a traceback and ends with `exit_code`.
    """

    exit_code = 2
