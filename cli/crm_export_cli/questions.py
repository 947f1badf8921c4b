"""Asks the user for what the options leave open; without a terminal, it reports all of it at once."""

import os
import sys
from dataclasses import dataclass, field

import typer

from crm_export_cli.exits import CliError, Exit
from crm_export_cli.output import tell


def is_terminal() -> bool:
    """Return True if somebody can answer."""
    return sys.stdin.isatty()


@dataclass
class Questions:
    """What was asked. terminal: whether somebody can answer; missing: what nobody could answer."""

    terminal: bool = field(default_factory=is_terminal)
    missing: list[str] = field(default_factory=list)

    def answer(
        self, given: str | None, how: str, prompt: str, *, secret: bool = False, default: str | None = None
    ) -> str:
        """Return what was given, or ask. how: the option or variable that gives it, for scripts.

        Returns an empty string if nobody can answer: `done` then reports it.
        """
        if given:
            return given.strip()
        if not self.terminal:
            self.missing.append(how)
            return ""
        answer: str = typer.prompt(prompt, err=True, hide_input=secret, default=default)
        return answer.strip()

    def secret(self, variable: str, prompt: str) -> str:
        """Return the value of an environment variable, or ask without showing what is typed."""
        return self.answer(os.environ.get(variable), variable, f"{prompt} (not shown)", secret=True)

    def explain(self, text: str) -> None:
        """Tell somebody who can answer where to find the answers."""
        if self.terminal and text:
            tell(text)

    def choose(self, given: str | None, how: str, choices: dict[str, str]) -> str:
        """Return what was given, or let the user choose from a numbered list of names and explanations."""
        if given or not self.terminal:
            return self.answer(given, how, "")
        for number, (name, explanation) in enumerate(choices.items(), 1):
            print(f"  {number}  {name:<20}{explanation}", file=sys.stderr)
        while True:
            typed = self.answer(None, how, f"Choose 1 to {len(choices)}", default="1")
            if typed in choices:
                return typed
            if typed.isdecimal() and 1 <= int(typed) <= len(choices):
                return list(choices)[int(typed) - 1]

    def done(self) -> None:
        """Raise CliError if something is missing."""
        if self.missing:
            raise CliError(
                f"Missing: {'; '.join(self.missing)}.",
                Exit.USAGE,
                code="MISSING_ANSWERS",
                remedy="There is no terminal to ask at, so give every option and variable that is listed.",
            )


def confirm(question: str) -> None:
    """Ask whether to do something that cannot be undone. Raises CliError if nobody can answer."""
    if not is_terminal():
        raise CliError("There is no terminal to ask at.", Exit.USAGE, remedy="Add --yes.")
    typer.confirm(question, abort=True, err=True)


def one_word(value: str, name: str) -> str:
    """Return a value that can be sent to Zoho. Raises CliError, which does not show the value."""
    if not value.isascii() or not value.isprintable() or " " in value or not value:
        raise CliError(f"{name} must be one word of printable ASCII; nothing was stored.", Exit.USAGE)
    return value
