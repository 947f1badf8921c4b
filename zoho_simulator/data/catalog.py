"""The modules of the simulated organisation and their fields, in Zoho's order."""

import random
from collections.abc import Callable
from functools import partial

from zoho_simulator.data import pools
from zoho_simulator.data.builder import (
    Builder,
    company,
    day,
    moment,
    money,
    one_of,
    phone,
    some_of,
    tags,
    text,
)  # fmt: skip
from zoho_simulator.data.columns import PoolColumn, Rows

type Declare = Callable[[Builder], None]

_CHECKS = 60  # fields of an inspection: more than the 50 that one call of the records API returns


def build(b: Builder, module: str) -> None:
    """Add all columns of a module. Raises KeyError for an unknown module."""
    declare = MODULES[module]
    b.id()
    if module == "Users":
        declare(b)
        return
    b.lookup("Owner", "Users", data_type="ownerlookup")
    declare(b)
    b.lookup("Created_By", "Users", data_type="ownerlookup", read_only=True)
    b.lookup("Modified_By", "Users", data_type="ownerlookup", read_only=True)
    b.times()
    b.pool("Tag", "text", tags, blank=0.7, json_type="jsonarray")


def _address(b: Builder, prefix: str) -> None:
    b.pool(f"{prefix}_Street", "text", one_of(pools.STREETS), blank=0.2)
    for position, part in enumerate(("City", "State", "Zip" if prefix != "Billing" else "Code", "Country")):
        choices = [city[position] or None for city in pools.CITIES]
        b.pool(f"{prefix}_{part}", "text", one_of(choices), blank=0.1)


def _long_text(b: Builder, api_name: str, blank: float = 0.0, *, mandatory: bool = False) -> None:
    b.pool(api_name, "textarea", text, blank, length=32_000, mandatory=mandatory)


def _person(b: Builder, blank: float) -> None:
    first = b.pool("First_Name", "text", one_of(pools.FIRST_NAMES), blank)
    last = b.pool("Last_Name", "text", one_of(pools.LAST_NAMES), mandatory=True)
    b.computed("Full_Name", "text", partial(_full_names, first, last), read_only=True, may_need_quotes=True)


def _full_names(first: PoolColumn, last: PoolColumn, rows: Rows) -> list[str]:
    return [f"{a} {z}".lstrip() for a, z in zip(first.texts(rows), last.texts(rows), strict=True)]


def _email(b: Builder, local: str) -> None:
    domains = pools.DOMAINS
    b.computed("Email", "email", lambda rows: [f"{local}.{i}@{domains[i % len(domains)]}" for i in rows])


def _number(b: Builder, api_name: str, prefix: str, data_type: str = "text") -> None:
    b.computed(api_name, data_type, lambda rows: [f"{prefix}-{i + 1:07d}" for i in rows])


def _users(b: Builder) -> None:
    people = pools.USERS
    b.computed("first_name", "text", lambda rows: [people[i][0] for i in rows])
    b.computed("last_name", "text", lambda rows: [people[i][1] for i in rows])
    b.computed("full_name", "text", lambda rows: [" ".join(people[i]) for i in rows])
    b.computed("email", "email", lambda rows: [f"user.{i}@example.com" for i in rows])


def _leads(b: Builder) -> None:
    _person(b, blank=0.2)
    b.pool("Company", "text", company, mandatory=True)
    _email(b, "lead")
    b.pool("Mobile", "phone", phone, blank=0.4)
    b.pool("Lead_Source", "picklist", one_of(pools.SOURCES), blank=0.2)
    b.pool("Lead_Status", "picklist", one_of(pools.STATUSES), blank=0.2)
    b.pool("Annual_Revenue", "currency", money, blank=0.6)
    b.pool("$converted", "boolean", one_of((False,)), system=True)
    _long_text(b, "Description", blank=0.6)


def _contacts(b: Builder) -> None:
    _person(b, blank=0.1)
    b.lookup("Account_Name", "Accounts", blank=0.2)
    _email(b, "contact")
    b.pool("Phone", "phone", phone, blank=0.3)
    b.pool("Mobile", "phone", phone, blank=0.4)
    b.pool("Title", "text", one_of(pools.TITLES), blank=0.3)
    b.pool("Lead_Source", "picklist", one_of(pools.SOURCES), blank=0.2)
    b.pool("Email_Opt_Out", "boolean", one_of((True, False, False)))
    b.pool("Date_of_Birth", "date", day, blank=0.6)
    b.pool("Interests", "multiselectpicklist", some_of(pools.INTERESTS), blank=0.6, custom=True)
    b.pool("Lifetime_Value", "currency", money, blank=0.5, custom=True)
    b.pool("Visits", "integer", lambda rng: rng.randrange(400), blank=0.2, custom=True)
    _address(b, "Mailing")
    _long_text(b, "Description", blank=0.4)
    b.unexportable(Mailing_Address="address", Contract="fileupload", Events_Attended="multiselectlookup")


def _accounts(b: Builder) -> None:
    b.pool("Account_Name", "text", company, mandatory=True)
    b.lookup("Parent_Account", "Accounts", blank=0.8)
    _number(b, "Account_Number", "AC")
    b.pool("Account_Type", "picklist", one_of(("Customer", "Prospect", "Vendor", "Analyst")), blank=0.2)
    b.pool("Industry", "picklist", one_of(pools.INDUSTRIES), blank=0.2)
    b.pool("Phone", "phone", phone, blank=0.2)
    b.pool("Website", "website", lambda rng: f"https://{rng.choice(pools.DOMAINS)}/?a=1,2", blank=0.3)
    b.pool("Annual_Revenue", "currency", money, blank=0.4)
    b.pool("Employees", "integer", lambda rng: rng.randrange(1, 50_000), blank=0.4)
    _address(b, "Billing")
    _long_text(b, "Description", blank=0.5)
    b.unexportable(Billing_Address="address", Coordinates="address", nearby_distance__s="double")


def _deal_name(rng: random.Random) -> str:
    return f"{company(rng)} – {rng.choice(('renewal', 'pilot', 'upgrade, phase 2'))}"


def _deals(b: Builder) -> None:
    b.pool("Deal_Name", "text", _deal_name)
    b.lookup("Account_Name", "Accounts", blank=0.05)
    b.lookup("Contact_Name", "Contacts", blank=0.3)
    b.pool("Amount", "currency", money, blank=0.1)
    b.pool("Stage", "picklist", one_of(pools.STAGES), mandatory=True)
    b.pool("Probability", "integer", one_of((0, 10, 20, 40, 60, 75, 90, 100)))
    b.pool("Closing_Date", "date", day)
    b.pool("Currency", "picklist", one_of(pools.CURRENCIES))
    b.pool("Next_Step", "text", one_of(pools.PHRASES), blank=0.5)
    _long_text(b, "Description", blank=0.5)


def _tasks(b: Builder) -> None:
    b.pool("Subject", "text", one_of(pools.PHRASES), mandatory=True)
    b.pool("Status", "picklist", one_of(pools.TASK_STATUSES))
    b.pool("Priority", "picklist", one_of(pools.PRIORITIES))
    b.pool("Due_Date", "date", day, blank=0.2)
    b.lookup("Who_Id", "Contacts", blank=0.5)
    b.lookup("What_Id", "Accounts", blank=0.5)
    b.pool("Send_Notification_Email", "boolean", one_of((True, False)))
    _long_text(b, "Description", blank=0.6)


def _events(b: Builder) -> None:
    b.pool("Event_Title", "text", one_of(pools.PHRASES), mandatory=True)
    b.pool("Venue", "text", one_of(pools.STREETS), blank=0.3)
    b.pool("All_day", "boolean", one_of((True, False, False)))
    b.pool("Start_DateTime", "datetime", moment, mandatory=True)
    b.pool("End_DateTime", "datetime", moment, mandatory=True)
    b.lookup("Who_Id", "Contacts", blank=0.5)
    _long_text(b, "Description", blank=0.6)
    b.unexportable(Participants="text")


def _notes(b: Builder) -> None:
    b.pool("Note_Title", "text", one_of(pools.PHRASES), blank=0.3)
    _long_text(b, "Note_Content", mandatory=True)
    b.lookup("Parent_Id", "Contacts", mandatory=True)


def _price_books(b: Builder) -> None:
    b.pool("Price_Book_Name", "text", company, mandatory=True)
    b.pool("Active", "boolean", one_of((True, False)))
    b.pool("Pricing_Model", "picklist", one_of(("Flat", "Differential")))
    _long_text(b, "Description", blank=0.6)
    b.unexportable(Pricing_Details="subform")


def _solutions(b: Builder) -> None:
    b.pool("Solution_Title", "text", one_of(pools.PHRASES), mandatory=True)
    _number(b, "Solution_Number", "SOL", "autonumber")
    b.lookup("Product_Name", "Products", blank=0.3)
    b.pool("Status", "picklist", one_of(("Created", "Reviewed", "Completed")))
    b.pool("Published", "boolean", one_of((True, False)))
    _long_text(b, "Question", blank=0.2)
    _long_text(b, "Answer", blank=0.4)
    b.unexportable(Comments="subform")


def _inspections(b: Builder) -> None:
    b.pool("Name", "text", company, mandatory=True)
    b.lookup("Project", "Accounts", blank=0.2, custom=True)
    results = one_of(("passed", "failed", "n/a, see notes"))
    for n in range(1, _CHECKS + 1):
        b.pool(f"Check_{n}", "picklist", results, blank=0.3, custom=True)
    b.unexportable(Photos="fileupload")


def _small(title: str, *, amount: str = "", **unexportable: str) -> Declare:
    """Return the declaration of a module with few fields."""

    def declare(b: Builder) -> None:
        b.pool(title, "text", company, mandatory=True)
        if amount:
            b.pool(amount, "currency", money, blank=0.3)
        b.pool("Active", "boolean", one_of((True, True, False)))
        _long_text(b, "Description", blank=0.6)
        b.unexportable(**unexportable)

    return declare


def _document(number: str, items: str, stages: tuple[str, ...], **lookups: str) -> Declare:
    """Return the declaration of a sales document; Bulk Read refuses its line items."""

    def declare(b: Builder) -> None:
        b.pool("Subject", "text", company, mandatory=True)
        _number(b, number, number[:2].upper())
        for name, module in lookups.items():
            b.lookup(name, module, blank=0.2)
        b.pool("Status", "picklist", one_of(stages))
        b.pool("Due_Date", "date", day, blank=0.2)
        b.pool("Grand_Total", "currency", money, read_only=True)
        b.pool("Currency", "picklist", one_of(pools.CURRENCIES))
        _long_text(b, "Terms_and_Conditions", blank=0.6)
        b.unexportable(**{items: "subform"}, Billing_Address="address")

    return declare


_PARTIES = {"Account_Name": "Accounts", "Contact_Name": "Contacts"}
MODULES: dict[str, Declare] = {
    "Users": _users,
    "Leads": _leads,
    "Contacts": _contacts,
    "Accounts": _accounts,
    "Deals": _deals,
    "Tasks": _tasks,
    "Events": _events,
    "Calls": _small("Subject", CTI_Entry="boolean"),
    "Notes": _notes,
    "Products": _small("Product_Name", amount="Unit_Price"),
    "Campaigns": _small("Campaign_Name", amount="Budgeted_Cost"),
    "Cases": _small("Subject", Comments="subform"),
    "Vendors": _small("Vendor_Name"),
    "Projects": _small("Name", amount="Budget"),
    "Invoices": _document(
        "Invoice_Number", "Invoiced_Items", ("Created", "Approved", "Delivered", "Cancelled"), **_PARTIES
    ),
    "Price_Books": _price_books,
    "Purchase_Orders": _document(
        "PO_Number", "Purchase_Items", ("Created", "Approved", "Delivered"),
        Vendor_Name="Vendors", Contact_Name="Contacts",
    ),
    "Quotes": _document(
        "Quote_Number", "Quoted_Items", ("Draft", "Negotiation", "On Hold"), **_PARTIES, Deal_Name="Deals"
    ),
    "Sales_Orders": _document(
        "SO_Number", "Ordered_Items", ("Created", "Approved"), **_PARTIES, Quote_Name="Quotes"
    ),
    "Solutions": _solutions,
    "Inspections": _inspections,
}  # fmt: skip
MODULES_WITH_RECORDS = tuple(name for name in MODULES if name != "Users")
CUSTOM_MODULES = ("Projects", "Inspections")
NOT_IN_BULK_READ = frozenset({"Notes", "Attachments", "Emails"})  # refused with MODULE_NOT_SUPPORTED
DISPLAY_FIELDS = {
    "Users": "full_name", "Contacts": "Full_Name", "Leads": "Full_Name", "Accounts": "Account_Name",
    "Deals": "Deal_Name", "Products": "Product_Name", "Vendors": "Vendor_Name", "Quotes": "Subject",
}  # fmt: skip
LOOKUP_TARGETS = 499  # lookups point at the first records only, so that they do not depend on the count
