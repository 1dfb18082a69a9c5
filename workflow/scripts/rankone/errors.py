"""The one exception that speaks to a user."""


class UserError(Exception):
    """Something the user can put right: what was found, what was expected, what to do.

    Scripts print its message without a traceback and stop with exit status 1.
    """
