"""template.yaml as AWS's translator writes it, for the tests of the template."""

import re
from typing import Any

from local.host.processes import REPOSITORY
from tests.support.privileges import CLOUDFORMATION

SOURCE = (REPOSITORY / "template.yaml").read_text()
RESOURCES: dict[str, Any] = CLOUDFORMATION["Resources"]
PARAMETERS: dict[str, Any] = CLOUDFORMATION["Parameters"]


def of_type(kind: str) -> dict[str, Any]:
    """Return the properties, by logical id, of all resources of a type."""
    return {name: item.get("Properties", {}) for name, item in RESOURCES.items() if item["Type"] == kind}


def accepts(parameter: str, value: str) -> bool:
    """Return True if the parameter's AllowedPattern accepts the value."""
    return re.fullmatch(PARAMETERS[parameter]["AllowedPattern"], value) is not None
