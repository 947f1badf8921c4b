"""One run: everything there is is made from a seed and runs until nothing happens any more."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from random import Random
from typing import Any

from simulation.calls import Calls
from simulation.dynamodb import DynamoDb, TableData
from simulation.events import EventBridge
from simulation.faults import Faults
from simulation.functions import Functions, SecretsManager, Sizes
from simulation.invariants import Invariants
from simulation.output import kept_output
from simulation.queues import Queue, QueueSettings, Sqs
from simulation.s3 import S3, Bucket
from simulation.scheduler import Scheduler
from simulation.sqlite import CalledTable, MemoryDatabase, MirroredTable
from simulation.zoho import (
    BULK_MODULES,
    CLIENT_SECRET,
    FIELD,
    READ_MODULES,
    REFRESH_TOKEN,
    SIGNING_KEY,
    JobRecord,
    Zoho,
)
from simulation.zoho_http import Session

QUEUES = {"submit": QueueSettings(180, 10), "download": QueueSettings(5400, 10)}
TICK_SECONDS = 300
DEADLINE_HOURS = 24
_END = 10 * 86_400.0
_CRITERIA = {"criteria": {"field": {"api_name": FIELD}, "comparator": "not_equal", "value": "${EMPTY}"}}
_QUERIES: tuple[dict[str, Any], ...] = ({}, {}, {"fields": ["Created_Time", FIELD]}, _CRITERIA)
_CALLBACK_SECONDS = (0.0, 0.0, 0.0, 0.05, 60.0)
_S3_PART_BYTES = (100, 400, 1_500, 100_000)


@dataclass(frozen=True)
class Post:
    """A client's POST. send(done) sends it once, with the same Idempotency-Key each time, or without one."""

    send: Callable[[Callable[[Any], None]], None]
    key: str | None


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run. `digest`: of its trace, the same for the same seed."""

    seed: int
    broken: list[str]
    injected: Counter[str]
    states: Counter[str]
    left_uploads: int
    dead_letters: int
    virtual_seconds: float
    digest: str


class World:
    """All that a run consists of."""

    def __init__(
        self,
        seed: int,
        write: Callable[[str], None] | None,
        only: dict[str, float] | None = None,
        *,
        sqlite: bool = False,
        **functions: int,
    ) -> None:
        """sqlite: the state of exports is in SQLite, as in a folder."""
        self.seed = seed
        self.rng = Random(seed)
        self.scheduler = Scheduler()
        self.faults = Faults(self.rng, self.scheduler, only)
        self.calls = Calls(self.rng, self.scheduler, self.faults)
        self._digest = hashlib.blake2b(digest_size=8)
        self._write = write
        self.calls.trace, self.calls.verbose = self._trace, write is not None
        self.sqlite = MemoryDatabase() if sqlite else None
        self.table, self.bucket = TableData(lambda: self.scheduler.now), Bucket()
        self.zoho = Zoho(
            self.rng, self.scheduler, self.faults, created=self._job_created, post=self._call_back
        )
        self.queues = {
            name: Queue(name, settings, self.rng, self.scheduler, self.faults)
            for name, settings in QUEUES.items()
        }
        self.events = EventBridge(self.calls)
        self.functions = Functions(
            self.scheduler, self.calls, self.rng,
            aws={
                "dynamodb": DynamoDb(self.table, self.calls),
                "s3": S3(self.bucket, self.calls),
                "sqs": Sqs(self.queues, self.calls),
                "secretsmanager": SecretsManager(self.calls),
                "events": self.events,
            },
            session=Session(self.zoho, self.calls, self.rng),
            api_version=self.zoho.version, deadline_hours=DEADLINE_HOURS,
            result_format=self.rng.choice(("csv", "csv", "csv.gz")),
            table=CalledTable(MirroredTable(self.sqlite, self.table), self.calls) if self.sqlite else None,
            sizes=Sizes(self.rng.choice(_S3_PART_BYTES), self.rng.choice((1, 2, 3, 5))),
            **functions,
        )  # fmt: skip
        self.queues["submit"].invoke = self.functions.submitter
        self.queues["download"].invoke = self.functions.downloader
        self.invariants = Invariants(
            self.scheduler, self.faults, self.table, self.bucket, self.zoho, self.events
        )
        self.calls.runaway = self.invariants.violated
        self._to_post = 0

    def run(self) -> Outcome:
        """Run until nothing happens any more."""
        keys = self.rng.choice((None, "one each", "one for all"))
        post = self._new_post("key-0" if keys else None)
        for number in range(self.rng.choice((1, 1, 2))):
            if number and keys != "one for all":
                post = self._new_post(f"key-{number}" if keys else None)
            self._to_post += 1
            self.scheduler.at(number * self.rng.choice((0.0, 30.0)), partial(self._post, post, 3))
        for _ in range(self.rng.choice((0, 0, 3))):
            self.scheduler.at(
                self.rng.choice((self.rng.uniform(0, 5), self.rng.uniform(0, 900))), self.zoho.change_records
            )
        self.scheduler.at(TICK_SECONDS * self.rng.random(), self._tick)
        with kept_output() as output:
            self.scheduler.run(_END)
        if self.scheduler.failure is not None:
            raise RuntimeError(f"seed {self.seed}: the simulation failed") from self.scheduler.failure
        if not self.invariants.broken:
            self.invariants.at_rest()
            secrets = {SIGNING_KEY.decode(), CLIENT_SECRET, REFRESH_TOKEN, *self.zoho.access_tokens}
            secrets |= {_digits(job.job.callback_url) for job in self.zoho.jobs.values()}
            messages = [message.body for queue in self.queues.values() for message in queue.messages]
            self.invariants.no_secret_in(secrets, output.lines, messages)
        return Outcome(
            seed=self.seed,
            broken=self.invariants.broken,
            injected=self.faults.injected,
            states=Counter(str(export.state) for export in self.invariants.exports()),
            left_uploads=len(self.bucket.uploads),
            dead_letters=sum(len(queue.dead_letters) for queue in self.queues.values()),
            virtual_seconds=self.scheduler.now,
            digest=self._digest.hexdigest(),
        )

    def _trace(self, line: str) -> None:
        when = f"{self.scheduler.now:.3f} "
        self._digest.update((when + line.partition(" -> ")[0]).encode())
        if self._write is not None:
            self._write(when + line)

    # --- calls from outside ---

    def _new_post(self, key: str | None) -> Post:
        query = self.rng.choice(_QUERIES)
        module = self.rng.choice((*BULK_MODULES, BULK_MODULES[0], BULK_MODULES[0], *READ_MODULES))
        body = {} if module in READ_MODULES else {"query": query}
        if key:
            self.invariants.keys.add(key)
        return Post(partial(self.functions.post, f"/v1/e/zoho/bulk-read/{module.lower()}", body, key), key)

    def _post(self, post: Post, tries: int) -> None:
        """Send a POST. With a key a client repeats it until it succeeds, and perhaps once more."""

        def done(response: Any) -> None:
            self._to_post -= 1
            self._plan_cancel(response)
            repeat = partial(self.faults.happens, "POST sent again")
            again = (response is None or repeat()) if post.key else (response is None and repeat())
            if again and tries > 1:
                self._to_post += 1
                self.scheduler.after(self.rng.choice((1.0, 40.0)), lambda: self._post(post, tries - 1))

        post.send(done)

    def _plan_cancel(self, response: Any) -> None:
        """Let the client of a POST cancel its export later, perhaps; after a lost response it cannot."""
        if response is None or not self.faults.happens("export cancelled"):
            return
        export_id = json.loads(response["body"])["data"]["export_id"]
        for _ in range(1 + self.faults.happens("export cancelled twice")):
            self._to_post += 1
            delay = self.rng.choice(
                (self.rng.uniform(0, 3), self.rng.uniform(0, 60), self.rng.uniform(0, 2000))
            )
            self.scheduler.after(delay, partial(self._cancel, export_id))

    def _cancel(self, export_id: str) -> None:
        def done(response: Any) -> None:
            self._to_post -= 1
            status = response["statusCode"] if response else None
            state = next(
                export.state for export in self.invariants.exports() if export.export_id == export_id
            )
            if (status == HTTPStatus.OK) > (state == "CANCELLED"):
                self.invariants.violated(f"{export_id} is {state}, and its cancellation was confirmed")

        self.functions.cancel(export_id, done)

    def _tick(self) -> None:
        is_open = any("open" in item for item in self.table.items.values())
        if not is_open and not self._to_post and self.scheduler.now > TICK_SECONDS:
            return
        if is_open and not self.faults.happens("tick missing"):
            for _ in range(1 + self.faults.happens("tick twice")):
                self.functions.reconciler(lambda response: None)
        self.scheduler.after(TICK_SECONDS, self._tick)

    # --- callbacks ---

    def _job_created(self, record: JobRecord) -> None:
        """Plan what reaches the job's callback URL besides Zoho's callback."""
        happens, part, url = self.faults.happens, record.part, str(record.job.callback_url)
        if record.job.faults.is_early:
            record.response_delay = self.rng.choice((0.0, 5.0))
        if happens("callback forged", part):
            self._forge(record)
        if happens("callback names no job", part):
            self._call_back(url, b'{"data": "x"}', self.rng.uniform(0, 60))
        others = [other for other in self.zoho.jobs.values() if other is not record]
        if others and happens("callback names another job", part):
            alike = [other for other in others if other.module == record.module and other.part != part]
            record.response_delay = self.rng.choice((0.0, 5.0))
            self._call_back(url, _body(self.rng.choice(alike or others)), self.rng.choice((0.0, 0.1, 5.0)))

    def _forge(self, record: JobRecord) -> None:
        """Post with the signature of another part or an invented one, which must have no effect."""
        *base, export_id, part, signature = str(record.job.callback_url).split("/")
        other_group = f"{signature.partition('-')[0]}-{'0' * 16}"
        forged = self.rng.choice(
            (
                (export_id, str(int(part) + 1), signature),
                (export_id, part, other_group),
                (export_id, part, "0" * 64),
            )
        )

        def call() -> None:
            before = dict(self.table.items), len(self.queues["download"].messages)

            def done(response: Any) -> None:
                if response is not None:
                    self.invariants.violated(f"a forged callback was accepted: {forged}")

            self.functions.callback("/".join([*base, *forged]), _body(record), done)
            if before != (dict(self.table.items), len(self.queues["download"].messages)):
                self.invariants.violated(f"a forged callback had an effect: {forged}")

        self.scheduler.after(self.rng.choice((0.0, 10.0)), call)

    def _call_back(self, url: str, body: bytes, delay: float | None = None, tries: int = 3) -> None:
        """Post to a callback URL, by default soon. Without success, Zoho tries again after 30 seconds."""

        def done(response: Any) -> None:
            if response is None and tries > 1:
                self._call_back(url, body, 30.0, tries - 1)

        if delay is None:
            delay = self.rng.choice(_CALLBACK_SECONDS)
        self.scheduler.after(delay, lambda: self.functions.callback(url, body, done))


def _digits(callback_url: str | None) -> str:
    """Return the secret part of a callback URL."""
    return str(callback_url).rpartition("/")[2].partition("-")[0]


def _body(record: JobRecord) -> bytes:
    return json.dumps({"data": [{"id": record.id}]}).encode()


def run(
    seed: int,
    write: Callable[[str], None] | None = None,
    only: dict[str, float] | None = None,
    *,
    sqlite: bool = False,
) -> Outcome:
    """Run one seed; `write` gets the trace, line by line. `only`: these kinds of faults, with their rates.

    sqlite: the state of exports is in SQLite, as in a folder.
    """
    world = World(seed, write, only, sqlite=sqlite)
    try:
        return world.run()
    finally:
        if world.sqlite:
            world.sqlite.close()
