"""Translates SAM with AWS's own translator, and keeps what it returned: to import it takes half a second."""

import hashlib
import json
import os
from collections.abc import Mapping
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path
from typing import Any

from local.host.aws import closed_session
from local.host.processes import REPOSITORY, LocalStackError

_KEPT = REPOSITORY / ".local/translated"
_MOST_KEPT = 20
_PLACEHOLDER = "https://{}.parameter.invalid"


def translate(
    sam: dict[str, Any], parameters: Mapping[str, str], name: str, kept: Path = _KEPT
) -> dict[str, Any]:
    """Return the CloudFormation template of a SAM template. Raises LocalStackError.

    URLs among the parameters have another port in each stack, so the translator gets placeholders for them.
    kept: the folder with the translations of earlier starts.
    """
    urls = {
        _PLACEHOLDER.format(key.lower()): value
        for key, value in parameters.items()
        if value.startswith(("http://", "https://")) and "," not in value
    }
    placeholders = {value: key for key, value in urls.items()}
    given = {key: placeholders.get(value, value) for key, value in parameters.items()}
    source = json.dumps([version("aws-sam-translator"), sam, given], sort_keys=True, default=str)
    path = kept / f"{hashlib.sha256(source.encode()).hexdigest()}.json"
    try:
        text = path.read_text()
    except FileNotFoundError:
        text = json.dumps(_translated(sam, given, name))
        _keep(path, text)
    for placeholder, value in urls.items():
        text = text.replace(placeholder, json.dumps(value)[1:-1])
    translated: dict[str, Any] = json.loads(text)
    return translated


def _keep(path: Path, text: str) -> None:
    """Write a translation, so that it appears whole: other processes may start at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for earlier in sorted(path.parent.iterdir(), key=lambda file: file.name)[_MOST_KEPT:]:
        earlier.unlink(missing_ok=True)
    hidden = path.with_name(f".{path.name}.{os.getpid()}")
    hidden.write_text(text)
    hidden.replace(path)


def _translated(sam: dict[str, Any], parameters: Mapping[str, str], name: str) -> dict[str, Any]:
    from samtranslator.model.exceptions import InvalidDocumentException  # noqa: PLC0415
    from samtranslator.parser.parser import Parser  # noqa: PLC0415
    from samtranslator.translator.translator import Translator  # noqa: PLC0415

    # Without the empty map of managed policies, the translator would ask IAM for them.
    translator = Translator({}, Parser(), boto_session=closed_session())
    try:
        translated: dict[str, Any] = translator.translate(deepcopy(sam), dict(parameters))
    except InvalidDocumentException as error:
        causes = [str(getattr(cause, "message", cause)) for cause in error.causes]
        raise LocalStackError("\n  ".join([f"{name} is not valid SAM:", *causes])) from error
    return translated
