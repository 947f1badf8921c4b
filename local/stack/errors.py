"""What can go wrong with the local stack itself, as the command line reports it."""


class LocalStackError(Exception):
    """The stack cannot do what was asked; the message says why and is shown as it is."""


class TemplateError(LocalStackError):
    """template.yaml or the parameters given for it are not valid."""


class StartError(LocalStackError):
    """A process of the stack did not start."""


class StateError(LocalStackError):
    """The state file is missing, stale, or belongs to another running stack."""
