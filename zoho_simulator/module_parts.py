"""What the declarations of several modules have in common; used by modules.py and modules_sales.py."""

from collections.abc import Callable

from zoho_simulator import pools
from zoho_simulator.builder import Builder, Target
from zoho_simulator.choices import company, money, one_of, tags, text

type Resolve = Callable[[str], Target]
type Declare = Callable[[Builder, Resolve], None]


def address(b: Builder, prefix: str) -> None:
    """Street, city, state, code and country."""
    b.pool(f"{prefix}_Street", "text", one_of(pools.STREETS), blank=0.2)
    for position, part in enumerate(("City", "State", "Zip" if prefix != "Billing" else "Code", "Country")):
        choices = [city[position] or None for city in pools.CITIES]
        b.pool(f"{prefix}_{part}", "text", one_of(choices), blank=0.1)


def begin(b: Builder, resolve: Resolve) -> None:
    """The columns every module has first."""
    b.id()
    b.lookup("Owner", resolve("Users"), data_type="ownerlookup")


def finish(b: Builder, resolve: Resolve) -> None:
    """The columns every module has last."""
    b.lookup("Created_By", resolve("Users"), data_type="ownerlookup", read_only=True)
    b.lookup("Modified_By", resolve("Users"), data_type="ownerlookup", read_only=True)
    b.times()
    b.pool("Tag", "text", tags, blank=0.7, json_type="jsonarray")


def named(title: str, *, amount: str = "", refused: str = "", kind: str = "text") -> Declare:
    """A module of few fields; `refused` is one of that data type that Bulk Read does not take."""

    def declare(b: Builder, resolve: Resolve) -> None:
        begin(b, resolve)
        b.pool(title, "text", company, mandatory=True)
        if amount:
            b.pool(amount, "currency", money, blank=0.3)
        b.pool("Active", "boolean", one_of((True, True, False)))
        b.pool("Description", "textarea", text, blank=0.6, length=32_000)
        finish(b, resolve)
        if refused:
            b.unexportable(refused, kind)

    return declare
