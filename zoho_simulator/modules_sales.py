"""The modules around a sale: quotes, orders, invoices, prices; and a custom module with very many fields."""

from zoho_simulator import pools
from zoho_simulator.builder import Builder
from zoho_simulator.choices import company, day, money, one_of, text
from zoho_simulator.module_parts import Declare, Resolve, begin, finish

INSPECTION_CHECKS = 60  # more than the 50 fields that one call of the records API gives


def _document(number: str, items: str, stages: tuple[str, ...], *parents: tuple[str, str]) -> Declare:
    """A sales document: its number, its lookups, its total, and the line items that Bulk Read refuses."""

    def declare(b: Builder, resolve: Resolve) -> None:
        begin(b, resolve)
        b.pool("Subject", "text", company, mandatory=True)
        b.computed(number, "text", lambda idx: [f"{number[:2].upper()}-{i + 1:07d}" for i in idx])
        for name, module in parents:
            b.lookup(name, resolve(module), blank=0.2)
        b.pool("Status", "picklist", one_of(stages))
        b.pool("Due_Date", "date", day, blank=0.2)
        b.pool("Grand_Total", "currency", money, read_only=True)
        b.pool("Currency", "picklist", one_of(pools.CURRENCIES))
        b.pool("Terms_and_Conditions", "textarea", text, blank=0.6, length=32_000)
        finish(b, resolve)
        b.unexportable(items, "subform")
        b.unexportable("Billing_Address", "address")

    return declare


def _price_books(b: Builder, resolve: Resolve) -> None:
    begin(b, resolve)
    b.pool("Price_Book_Name", "text", company, mandatory=True)
    b.pool("Active", "boolean", one_of((True, False)))
    b.pool("Pricing_Model", "picklist", one_of(("Flat", "Differential")))
    b.pool("Description", "textarea", text, blank=0.6, length=32_000)
    finish(b, resolve)
    b.unexportable("Pricing_Details", "subform")


def _solutions(b: Builder, resolve: Resolve) -> None:
    begin(b, resolve)
    b.pool("Solution_Title", "text", one_of(pools.PHRASES), mandatory=True)
    b.computed("Solution_Number", "autonumber", lambda idx: [f"SOL-{i + 1:07d}" for i in idx])
    b.lookup("Product_Name", resolve("Products"), blank=0.3)
    b.pool("Status", "picklist", one_of(("Created", "Reviewed", "Completed")))
    b.pool("Published", "boolean", one_of((True, False)))
    b.pool("Question", "textarea", text, blank=0.2, length=32_000)
    b.pool("Answer", "textarea", text, blank=0.4, length=32_000)
    finish(b, resolve)
    b.unexportable("Comments", "subform")


def inspections(b: Builder, resolve: Resolve) -> None:
    """A custom module whose fields need more than one call of the records API."""
    begin(b, resolve)
    b.pool("Name", "text", company, mandatory=True)
    b.lookup("Project", resolve("Accounts"), blank=0.2, custom=True)
    for n in range(1, INSPECTION_CHECKS + 1):
        b.pool(
            f"Check_{n}", "picklist", one_of(("passed", "failed", "n/a, see notes")), blank=0.3, custom=True
        )
    finish(b, resolve)
    b.unexportable("Photos", "fileupload")


_PARTIES = (("Account_Name", "Accounts"), ("Contact_Name", "Contacts"))
SALES_MODULES: dict[str, Declare] = {
    "Invoices": _document(
        "Invoice_Number", "Invoiced_Items", ("Created", "Approved", "Delivered", "Cancelled"), *_PARTIES
    ),
    "Price_Books": _price_books,
    "Purchase_Orders": _document(
        "PO_Number",
        "Purchase_Items",
        ("Created", "Approved", "Delivered"),
        ("Vendor_Name", "Vendors"),
        ("Contact_Name", "Contacts"),
    ),
    "Quotes": _document(
        "Quote_Number", "Quoted_Items", ("Draft", "Negotiation", "On Hold"), *_PARTIES, ("Deal_Name", "Deals")
    ),
    "Sales_Orders": _document(
        "SO_Number", "Ordered_Items", ("Created", "Approved"), *_PARTIES, ("Quote_Name", "Quotes")
    ),
    "Solutions": _solutions,
}
