"""The state of one simulator: what every handler is given. No HTTP here."""

from zoho_simulator.changes import Changes
from zoho_simulator.config import SimulatorConfig
from zoho_simulator.faults import Faults
from zoho_simulator.jobs import Jobs
from zoho_simulator.journal import Journal
from zoho_simulator.limits import Limits
from zoho_simulator.listing import Listings
from zoho_simulator.oauth import TokenStore
from zoho_simulator.page_tokens import PageTokens
from zoho_simulator.scheduler import Scheduler


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
