"""The state of one simulator: what every handler is given. No HTTP here."""

from local.zoho.changes import Changes
from local.zoho.config import SimulatorConfig
from local.zoho.faults import Faults
from local.zoho.jobs import Jobs
from local.zoho.journal import Journal
from local.zoho.limits import Limits
from local.zoho.listing import Listings
from local.zoho.oauth import TokenStore
from local.zoho.page_tokens import PageTokens
from local.zoho.scheduler import Scheduler


class Simulation:
    """One simulated organisation. `url` is filled in when the server knows its port."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.url = ""
        self.tokens = TokenStore(config)
        self.limits = Limits(config)
        self.page_tokens = PageTokens(config)
        self.changes = Changes(config)
        self.listings = Listings(config)
        self.jobs = Jobs(config)
        self.journal = Journal()
        self.faults = Faults()
        self.scheduler = Scheduler()

    def close(self) -> None:
        """Stop what runs by itself."""
        self.scheduler.close()
