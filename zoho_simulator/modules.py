"""The modules of the simulated organisation and their columns."""

from collections.abc import Sequence

from zoho_simulator import pools
from zoho_simulator.builder import Builder
from zoho_simulator.choices import company, day, moment, money, one_of, phone, some_of, text
from zoho_simulator.columns import PoolColumn
from zoho_simulator.module_parts import Declare, Resolve, address, begin, finish, named
from zoho_simulator.modules_sales import SALES_MODULES, inspections


def _full_name(b: Builder, first: PoolColumn, last: PoolColumn) -> None:
    def join(idx: Sequence[int]) -> list[str]:
        return [f"{a} {z}".lstrip() for a, z in zip(first.texts(idx), last.texts(idx), strict=True)]

    b.computed("Full_Name", "text", join, read_only=True, may_need_quotes=True)


def _email(b: Builder, local: str) -> None:
    domains = pools.DOMAINS
    n = len(domains)
    b.computed("Email", "email", lambda idx: [f"{local}.{i}@{domains[i % n]}" for i in idx])


def _contacts(b: Builder, resolve: Resolve) -> None:
    begin(b, resolve)
    first = b.pool("First_Name", "text", one_of(pools.FIRST_NAMES), blank=0.1)
    last = b.pool("Last_Name", "text", one_of(pools.LAST_NAMES), mandatory=True)
    _full_name(b, first, last)
    b.lookup("Account_Name", resolve("Accounts"), blank=0.2)
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
    address(b, "Mailing")
    b.pool("Description", "textarea", text, blank=0.4, length=32_000)
    finish(b, resolve)
    for name, kind in (
        ("Mailing_Address", "address"),
        ("Contract", "fileupload"),
        ("Events_Attended", "multiselectlookup"),
    ):
        b.unexportable(name, kind)


def _accounts(b: Builder, resolve: Resolve) -> None:
    begin(b, resolve)
    b.pool("Account_Name", "text", company, mandatory=True)
    b.lookup("Parent_Account", resolve("Accounts"), blank=0.8)
    b.computed("Account_Number", "text", lambda idx: [f"AC-{i + 1:07d}" for i in idx])
    b.pool("Account_Type", "picklist", one_of(("Customer", "Prospect", "Vendor", "Analyst")), blank=0.2)
    b.pool("Industry", "picklist", one_of(pools.INDUSTRIES), blank=0.2)
    b.pool("Phone", "phone", phone, blank=0.2)
    b.pool("Website", "website", lambda rng: f"https://{rng.choice(pools.DOMAINS)}/?a=1,2", blank=0.3)
    b.pool("Annual_Revenue", "currency", money, blank=0.4)
    b.pool("Employees", "integer", lambda rng: rng.randrange(1, 50_000), blank=0.4)
    address(b, "Billing")
    b.pool("Description", "textarea", text, blank=0.5, length=32_000)
    finish(b, resolve)
    for name, kind in (
        ("Billing_Address", "address"),
        ("Coordinates", "address"),
        ("nearby_distance__s", "double"),
    ):
        b.unexportable(name, kind)


def _deals(b: Builder, resolve: Resolve) -> None:
    begin(b, resolve)
    b.pool(
        "Deal_Name",
        "text",
        lambda rng: f"{company(rng)} – {rng.choice(('renewal', 'pilot', 'upgrade, phase 2'))}",
    )
    b.lookup("Account_Name", resolve("Accounts"), blank=0.05)
    b.lookup("Contact_Name", resolve("Contacts"), blank=0.3)
    b.pool("Amount", "currency", money, blank=0.1)
    b.pool("Stage", "picklist", one_of(pools.STAGES), mandatory=True)
    b.pool("Probability", "integer", one_of((0, 10, 20, 40, 60, 75, 90, 100)))
    b.pool("Closing_Date", "date", day)
    b.pool("Currency", "picklist", one_of(pools.CURRENCIES))
    b.pool("Next_Step", "text", one_of(pools.PHRASES), blank=0.5)
    b.pool("Description", "textarea", text, blank=0.5, length=32_000)
    finish(b, resolve)


def _leads(b: Builder, resolve: Resolve) -> None:
    begin(b, resolve)
    first = b.pool("First_Name", "text", one_of(pools.FIRST_NAMES), blank=0.2)
    last = b.pool("Last_Name", "text", one_of(pools.LAST_NAMES), mandatory=True)
    _full_name(b, first, last)
    b.pool("Company", "text", company, mandatory=True)
    _email(b, "lead")
    b.pool("Mobile", "phone", phone, blank=0.4)
    b.pool("Lead_Source", "picklist", one_of(pools.SOURCES), blank=0.2)
    b.pool("Lead_Status", "picklist", one_of(pools.STATUSES), blank=0.2)
    b.pool("Annual_Revenue", "currency", money, blank=0.6)
    b.pool("$converted", "boolean", one_of((False,)), system=True)
    b.pool("Description", "textarea", text, blank=0.6, length=32_000)
    finish(b, resolve)


def _tasks(b: Builder, resolve: Resolve) -> None:
    begin(b, resolve)
    b.pool("Subject", "text", one_of(pools.PHRASES), mandatory=True)
    b.pool("Status", "picklist", one_of(pools.TASK_STATUSES))
    b.pool("Priority", "picklist", one_of(pools.PRIORITIES))
    b.pool("Due_Date", "date", day, blank=0.2)
    b.lookup("Who_Id", resolve("Contacts"), blank=0.5)
    b.lookup("What_Id", resolve("Accounts"), blank=0.5)
    b.pool("Send_Notification_Email", "boolean", one_of((True, False)))
    b.pool("Description", "textarea", text, blank=0.6, length=32_000)
    finish(b, resolve)


def _events(b: Builder, resolve: Resolve) -> None:
    begin(b, resolve)
    b.pool("Event_Title", "text", one_of(pools.PHRASES), mandatory=True)
    b.pool("Venue", "text", one_of(pools.STREETS), blank=0.3)
    b.pool("All_day", "boolean", one_of((True, False, False)))
    b.pool("Start_DateTime", "datetime", moment, mandatory=True)
    b.pool("End_DateTime", "datetime", moment, mandatory=True)
    b.lookup("Who_Id", resolve("Contacts"), blank=0.5)
    b.pool("Description", "textarea", text, blank=0.6, length=32_000)
    finish(b, resolve)
    b.unexportable("Participants", "text")


def _notes(b: Builder, resolve: Resolve) -> None:
    begin(b, resolve)
    b.pool("Note_Title", "text", one_of(pools.PHRASES), blank=0.3)
    b.pool("Note_Content", "textarea", text, mandatory=True, length=32_000)
    b.lookup("Parent_Id", resolve("Contacts"), mandatory=True)
    finish(b, resolve)


def _users(b: Builder, _resolve: Resolve) -> None:
    b.id()
    people = pools.USERS
    b.computed("first_name", "text", lambda idx: [people[i][0] for i in idx])
    b.computed("last_name", "text", lambda idx: [people[i][1] for i in idx])
    b.computed("full_name", "text", lambda idx: [" ".join(people[i]) for i in idx])
    b.computed("email", "email", lambda idx: [f"user.{i}@example.com" for i in idx])


MODULES: dict[str, Declare] = {
    "Users": _users,
    "Leads": _leads,
    "Contacts": _contacts,
    "Accounts": _accounts,
    "Deals": _deals,
    "Tasks": _tasks,
    "Events": _events,
    "Calls": named("Subject", refused="CTI_Entry", kind="boolean"),
    "Notes": _notes,
    "Products": named("Product_Name", amount="Unit_Price"),
    "Campaigns": named("Campaign_Name", amount="Budgeted_Cost"),
    "Cases": named("Subject", refused="Comments", kind="subform"),
    "Vendors": named("Vendor_Name"),
    "Projects": named("Name", amount="Budget"),
    **SALES_MODULES,
    "Inspections": inspections,
}
CUSTOM_MODULES = ("Projects", "Inspections")
DISPLAY_FIELDS = {
    "Users": "full_name",
    "Contacts": "Full_Name",
    "Leads": "Full_Name",
    "Accounts": "Account_Name",
    "Deals": "Deal_Name",
    "Products": "Product_Name",
    "Vendors": "Vendor_Name",
    "Quotes": "Subject",
}
# Which of Zoho's modules Bulk Read names and refuses.
NOT_IN_BULK_READ = frozenset({"Notes", "Attachments", "Emails"})
LOOKUP_TARGETS = 499  # lookups point at the first records of a module only, so that they need no count
