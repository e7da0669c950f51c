"""The errors a user can mend: one clear line, exit code 2."""


class UserError(Exception):
    """Something the user gave is wrong.

    The message is one line that names what was wrong, where, and what would be right.
    The command line prints it without a traceback and exits with code 2.
    """


class NoRoom(UserError):
    """Nothing is free for a process within the time that was given; others may do without it."""


class ActorLost(Exception):
    """A role or service process died; its state can be restored from the last committed round.

    Attributes:
        actor: name of the process that died.
    """

    def __init__(self, actor: str, message: str) -> None:
        super().__init__(message)
        self.actor = actor

    def __reduce__(self) -> tuple[type["ActorLost"], tuple[str, str]]:
        return type(self), (self.actor, str(self))
