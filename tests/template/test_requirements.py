"""The lock file and the layer's requirements fit pyproject.toml: `make lock` was not forgotten."""

import re
import tomllib
from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from local.host.processes import REPOSITORY

LOCK = REPOSITORY / "requirements.txt"
LAYERS = {
    "layer": "dependencies",
    "mongo-layer": "mongo",
    "parquet-layer": "parquet",
}  # dependency group: folder
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def pins_of(path) -> dict[str, tuple[Requirement, frozenset[str]]]:
    """Return requirement and hashes by name."""
    text = re.sub(r"#.*", "", path.read_text()).replace("\\\n", " ")
    lines = [line.split("--hash=") for line in text.splitlines() if line.strip()]
    requirements = [(Requirement(line.strip()), frozenset(map(str.strip, hashes))) for line, *hashes in lines]
    return {
        canonicalize_name(requirement.name): (requirement, hashes) for requirement, hashes in requirements
    }


def closure_of(names: list[str]) -> set[str]:
    """Return the packages that are installed here for `names`, with all they require."""
    found: set[str] = set()
    while names:
        if (name := canonicalize_name(names.pop())) not in found:
            found.add(name)
            needed = map(Requirement, requires(name) or [])
            names += [item.name for item in needed if not item.marker or item.marker.evaluate({"extra": ""})]
    return found


def requirements_of(folder):
    return REPOSITORY / "layers" / folder / "requirements.txt"


@pytest.mark.parametrize(("group", "folder"), LAYERS.items())
def test_layer_holds_exactly_what_its_dependency_group_needs(group, folder):
    direct = [Requirement(item).name for item in PROJECT["dependency-groups"][group]]
    assert set(pins_of(requirements_of(folder))) == closure_of(direct)


def test_project_depends_on_all_that_the_layers_ship():
    shipped = {item for group in LAYERS for item in PROJECT["dependency-groups"][group]}
    extras = PROJECT["project"]["optional-dependencies"]
    assert shipped <= {*PROJECT["project"]["dependencies"], *extras["parquet"]}


@pytest.mark.parametrize("folder", LAYERS.values())
def test_layer_has_the_pins_and_hashes_of_the_lock_file(folder):
    lock = pins_of(LOCK)
    for name, (requirement, hashes) in pins_of(requirements_of(folder)).items():
        assert (str(requirement.specifier), hashes) == (str(lock[name][0].specifier), lock[name][1])


def test_lock_file_pins_every_requirement_of_every_group():
    groups = PROJECT["dependency-groups"].values()
    direct = [Requirement(item) for group in groups for item in group if isinstance(item, str)]
    direct += map(Requirement, PROJECT["project"]["dependencies"])
    lock = pins_of(LOCK)
    for requirement in direct:
        (pin,) = lock[canonicalize_name(requirement.name)][0].specifier
        assert requirement.specifier.contains(pin.version), requirement


def test_lock_file_fulfils_the_overrides():
    lock = pins_of(LOCK)
    for override in map(Requirement, PROJECT["tool"]["uv"]["override-dependencies"]):
        (pin,) = lock[override.name][0].specifier
        assert override.specifier.contains(pin.version), override
    names = sorted(Requirement(item).name for item in PROJECT["tool"]["uv"]["override-dependencies"])
    assert f"^({'|'.join(names)})==" in (REPOSITORY / "Makefile").read_text()


@pytest.mark.parametrize("path", [LOCK, *map(requirements_of, LAYERS.values())])
def test_every_pin_is_exact_and_hashed_without_a_host(path):
    for requirement, hashes in pins_of(path).values():
        assert [item.operator for item in requirement.specifier] == ["=="], requirement
        assert hashes, requirement
    assert "://" not in path.read_text()
