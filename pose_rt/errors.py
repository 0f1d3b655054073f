"""The errors pose-rt raises on purpose: what came, what was wanted, and the command that cures it."""


class PoseRtError(Exception):
    """A failure with one clear sentence. The CLI prints it without a traceback and exits with `exit_code`."""

    exit_code = 1

    def __init__(self, message: str, cure: str | None = None) -> None:
        super().__init__(message if cure is None else f"{message}; {cure}")
        self.message = message
        self.cure = cure


class UsageError(PoseRtError):
    """The call itself cannot work (a wrong option, a missing input): exit code 2."""

    exit_code = 2


class InputError(PoseRtError):
    """The input was found but cannot be read as what it claims to be."""


class OutputError(PoseRtError):
    """The output cannot be written (exists, read-only, disk full)."""


class ModelError(PoseRtError):
    """A model file is missing, does not match its checksum, or gave values that are not finite."""


class BackendError(PoseRtError):
    """An inference runtime or device that was asked for is not available here."""
