"""The modules of the simulated organisation: lists of field names, and what each name stands for.

A field whose meaning differs in one module is declared as `Module.Field`. `Name:type` in a list is a field
that settings/fields lists although Bulk Read refuses it.
"""

import random
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

from zoho_simulator.data import pools
from zoho_simulator.data.builder import ID_BASE, Builder, Draw
from zoho_simulator.data.columns import Rows

type Add = Callable[[Builder, str], None]


def _tags(rng: random.Random) -> list[dict[str, str]]:
    chosen = rng.sample(range(len(pools.TAGS)), rng.randint(1, 2))
    return [
        {"name": pools.TAGS[n], "id": str(ID_BASE + 9_000_000 + n), "color_code": "#1DB9B4"} for n in chosen
    ]


def _phrases(rng: random.Random) -> str:
    phrases = rng.sample(pools.PHRASES, rng.randint(1, 5))
    return "".join(p + rng.choice(pools.JOINTS) for p in phrases).rstrip()


def _phone(rng: random.Random) -> str:
    return f"+{rng.randint(1, 99)} {rng.randint(100, 999)} {rng.randint(1_000_000, 9_999_999)}"


def _day(rng: random.Random) -> str:
    return str(date(2018, 1, 1) + timedelta(days=rng.randrange(3000)))


def _moment(rng: random.Random) -> str:
    return f"{_day(rng)}T{rng.randrange(24):02d}:{rng.choice(('00', '15', '30', '45'))}:00+05:30"


def _company(rng: random.Random) -> str:
    return rng.choice(pools.COMPANIES) + rng.choice(pools.COMPANY_TAILS)


def _pool(data_type: str, choose: Draw, blank: float = 0.0, **more: Any) -> Add:
    return lambda b, name: b.pool(name, data_type, choose, blank, **more)


def _one_of(data_type: str, values: Sequence[Any], blank: float = 0.0, **more: Any) -> Add:
    return _pool(data_type, lambda rng: rng.choice(values), blank, **more)


def _money(blank: float = 0.0, data_type: str = "currency", **more: Any) -> Add:
    return _pool(data_type, lambda rng: round(rng.uniform(100, 2_000_000), 2), blank, **more)


def _long(blank: float = 0.0, **more: Any) -> Add:
    return _pool("textarea", _phrases, blank, length=32_000, **more)


def _lookup(module: str, blank: float = 0.0, data_type: str = "lookup", **more: Any) -> Add:
    return lambda b, name: b.lookup(name, module, blank, data_type, **more)


def _computed(text_of: Callable[[int], str], data_type: str = "text") -> Add:
    return lambda b, name: b.computed(
        name, data_type, lambda rows: [text_of(row) for row in rows], quotes=False
    )


def _number(prefix: str, data_type: str = "text") -> Add:
    return _computed(lambda row: f"{prefix}-{row + 1:07d}", data_type)


def _each(names: str, add: Add) -> dict[str, Add]:
    return dict.fromkeys(names.split(), add)


def _full_name(b: Builder, name: str) -> None:
    first, last = b.columns["First_Name"], b.columns["Last_Name"]

    def join(rows: Rows) -> list[str]:
        return [f"{a} {z}".lstrip() for a, z in zip(first.texts(rows), last.texts(rows), strict=True)]

    b.computed(name, "text", join, quotes=True, read_only=True)


def _email(b: Builder, name: str) -> None:
    local, domains = b.module.lower().removesuffix("s"), pools.DOMAINS
    _computed(lambda row: f"{local}.{row}@{domains[row % len(domains)]}", "email")(b, name)


_LOOKUPS = {
    "Account_Name": "Accounts", "What_Id": "Accounts", "Contact_Name": "Contacts", "Who_Id": "Contacts",
    "Product_Name": "Products", "Vendor_Name": "Vendors", "Quote_Name": "Quotes", "Quotes.Deal_Name": "Deals",
}  # fmt: skip
_TITLES = (
    "Accounts.Account_Name Products.Product_Name Vendors.Vendor_Name "
    "Company Name Subject Campaign_Name Price_Book_Name"
)
# More fields than the 50 that one call of the records API returns.
_CHECKS = " ".join(f"Check_{n}" for n in range(1, 61))
_FIELDS: dict[str, Add] = {
    **_each(_TITLES, _pool("text", _company, mandatory=True)),
    **_each("Tasks.Subject Event_Title Solution_Title", _one_of("text", pools.PHRASES, mandatory=True)),
    **_each("Description Question Answer Terms_and_Conditions", _long(0.5)),
    **_each("Mailing_Street Billing_Street Venue", _one_of("text", pools.STREETS, 0.2)),
    **_each("Send_Notification_Email Published", _one_of("boolean", (True, False))),
    **_each("Email_Opt_Out All_day", _one_of("boolean", (True, False, False))),
    **_each("Start_DateTime End_DateTime", _pool("datetime", _moment, mandatory=True)),
    **_each("Unit_Price Budgeted_Cost Budget", _money(0.3)),
    **_each(_CHECKS, _one_of("picklist", ("passed", "failed", "n/a, see notes"), 0.3, custom=True)),
    **{f"{name}_Number": _number(name[:2].upper()) for name in ("Account", "Invoice", "PO", "Quote", "SO")},
    **{name: _lookup(module, 0.3) for name, module in _LOOKUPS.items()},
    "Owner": _lookup("Users", data_type="ownerlookup"),
    "Created_By": _lookup("Users", data_type="ownerlookup", read_only=True),
    "Modified_By": _lookup("Users", data_type="ownerlookup", read_only=True),
    "Tag": _pool("text", _tags, 0.7, json_type="jsonarray"),
    "first_name": _computed(lambda row: pools.USERS[row][0]),
    "last_name": _computed(lambda row: pools.USERS[row][1]),
    "full_name": _computed(lambda row: " ".join(pools.USERS[row])),
    "email": _computed(lambda row: f"user.{row}@example.com", "email"),
    "First_Name": _one_of("text", pools.FIRST_NAMES, 0.1),
    "Last_Name": _one_of("text", pools.LAST_NAMES, mandatory=True),
    "Full_Name": _full_name,
    "Email": _email,
    "Phone": _pool("phone", _phone, 0.3),
    "Mobile": _pool("phone", _phone, 0.4),
    "Title": _one_of("text", pools.TITLES, 0.3),
    "Lead_Source": _one_of("picklist", pools.SOURCES, 0.2),
    "Lead_Status": _one_of("picklist", pools.STATUSES, 0.2),
    "$converted": _one_of("boolean", (False,), system=True),
    "Date_of_Birth": _pool("date", _day, 0.6),
    "Interests": _pool(
        "multiselectpicklist", lambda rng: rng.sample(pools.INTERESTS, rng.randint(1, 3)), 0.6, custom=True
    ),
    "Lifetime_Value": _money(0.5, custom=True),
    "Visits": _pool("integer", lambda rng: rng.randrange(400), 0.2, custom=True),
    "Parent_Account": _lookup("Accounts", 0.8),
    "Account_Type": _one_of("picklist", ("Customer", "Prospect", "Vendor", "Analyst"), 0.2),
    "Industry": _one_of("picklist", pools.INDUSTRIES, 0.2),
    "Website": _pool("website", lambda rng: f"https://{rng.choice(pools.DOMAINS)}/?a=1,2", 0.3),
    "Annual_Revenue": _money(0.4),
    "Employees": _pool("integer", lambda rng: rng.randrange(1, 50_000), 0.4),
    **{
        f"{kind}_{part}": _one_of("text", [city[n] or None for city in pools.CITIES], 0.1)
        for kind, code in (("Mailing", "Zip"), ("Billing", "Code"))
        for n, part in enumerate(("City", "State", code, "Country"))
    },
    "Deal_Name": _pool(
        "text", lambda rng: f"{_company(rng)} – {rng.choice(('renewal', 'pilot', 'upgrade, phase 2'))}"
    ),
    "Amount": _money(0.1),
    "Expected_Revenue": _money(0.1, data_type="formula", return_type="currency", read_only=True),
    "Stage": _one_of("picklist", pools.STAGES, mandatory=True),
    "Probability": _one_of("integer", (0, 10, 20, 40, 60, 75, 90, 100)),
    "Closing_Date": _pool("date", _day),
    "Currency": _one_of("picklist", pools.CURRENCIES),
    "Next_Step": _one_of("text", pools.PHRASES, 0.5),
    "Tasks.Status": _one_of("picklist", pools.TASK_STATUSES),
    "Solutions.Status": _one_of("picklist", ("Created", "Reviewed", "Completed")),
    "Status": _one_of("picklist", ("Draft", "Created", "Approved", "Delivered", "Cancelled")),
    "Priority": _one_of("picklist", pools.PRIORITIES),
    "Due_Date": _pool("date", _day, 0.2),
    "Note_Title": _one_of("text", pools.PHRASES, 0.3),
    "Note_Content": _long(mandatory=True),
    "Parent_Id": lambda b, name: b.parent(name, ("Contacts", "Accounts", "Deals"), mandatory=True),
    "Active": _one_of("boolean", (True, True, False)),
    "Grand_Total": _money(read_only=True),
    "Pricing_Model": _one_of("picklist", ("Flat", "Differential")),
    "Solution_Number": _number("SOL", "autonumber"),
    "Project": _lookup("Accounts", 0.2, custom=True),
}
_SALE = "Status Due_Date Grand_Total Currency Terms_and_Conditions"
_ADDRESS = "{0}_Street {0}_City {0}_State {0}_{1} {0}_Country"
_MODULES = {
    "Users": "first_name last_name full_name email",
    "Leads": "First_Name Last_Name Full_Name Company Email Mobile Lead_Source Lead_Status Annual_Revenue "
    "$converted Description",
    "Contacts": "First_Name Last_Name Full_Name Account_Name Email Phone Mobile Title Lead_Source "
    "Email_Opt_Out Date_of_Birth Interests Lifetime_Value Visits "
    f"{_ADDRESS.format('Mailing', 'Zip')} Description "
    "Mailing_Address:address Contract:fileupload Events_Attended:multiselectlookup",
    "Accounts": "Account_Name Parent_Account Account_Number Account_Type Industry Phone Website "
    f"Annual_Revenue Employees {_ADDRESS.format('Billing', 'Code')} Description "
    "Billing_Address:address Coordinates:address nearby_distance__s:double",
    "Deals": "Deal_Name Account_Name Contact_Name Amount Expected_Revenue Stage Probability Closing_Date "
    "Currency Next_Step Description",
    "Tasks": "Subject Status Priority Due_Date Who_Id What_Id Send_Notification_Email Description",
    "Events": "Event_Title Venue All_day Start_DateTime End_DateTime Who_Id Description Participants:text",
    "Calls": "Subject Active Description CTI_Entry:boolean",
    "Notes": "Note_Title Note_Content Parent_Id",
    "Products": "Product_Name Unit_Price Active Description",
    "Campaigns": "Campaign_Name Budgeted_Cost Active Description",
    "Cases": "Subject Active Description Comments:subform",
    "Vendors": "Vendor_Name Active Description",
    "Projects": "Name Budget Active Description",
    "Invoices": f"Subject Invoice_Number Account_Name Contact_Name {_SALE} "
    "Invoiced_Items:subform Billing_Address:address",
    "Price_Books": "Price_Book_Name Active Pricing_Model Description Pricing_Details:subform",
    "Purchase_Orders": f"Subject PO_Number Vendor_Name Contact_Name {_SALE} "
    "Purchase_Items:subform Billing_Address:address",
    "Quotes": f"Subject Quote_Number Account_Name Contact_Name Deal_Name {_SALE} "
    "Quoted_Items:subform Billing_Address:address",
    "Sales_Orders": f"Subject SO_Number Account_Name Contact_Name Quote_Name {_SALE} "
    "Ordered_Items:subform Billing_Address:address",
    "Solutions": "Solution_Title Solution_Number Product_Name Status Published Question Answer "
    "Comments:subform",
    "Inspections": f"Name Project {_CHECKS} Photos:fileupload",
}
MODULES = tuple(_MODULES)
MODULES_WITH_RECORDS = MODULES[1:]
CUSTOM_MODULES = ("Projects", "Inspections")
WITHOUT_COUNT = frozenset({"Notes"})  # neither actions/count nor /deleted
NOT_IN_BULK_READ = frozenset({"Notes", "Attachments", "Emails"})  # refused with MODULE_NOT_SUPPORTED
DISPLAY_FIELDS = {
    "Users": "full_name", "Contacts": "Full_Name", "Leads": "Full_Name", "Accounts": "Account_Name",
    "Deals": "Deal_Name", "Products": "Product_Name", "Vendors": "Vendor_Name", "Quotes": "Subject",
}  # fmt: skip
LOOKUP_TARGETS = 499  # lookups point at the first records only, so that they do not depend on the count


def build(b: Builder) -> None:
    """Add all columns of the builder's module. Raises KeyError for an unknown module."""
    names = _MODULES[b.module].split()
    b.id()
    if b.module == "Users":
        _add(b, names)
        return
    _add(b, ["Owner", *names, "Created_By", "Modified_By"])
    b.times()
    _add(b, ["Tag"])


def _add(b: Builder, names: Sequence[str]) -> None:
    for entry in names:
        name, _, unexportable = entry.partition(":")
        if unexportable:
            b.unexportable(name, unexportable)
        else:
            (_FIELDS.get(f"{b.module}.{name}") or _FIELDS[name])(b, name)
