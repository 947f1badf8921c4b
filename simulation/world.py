"""One run: a seed becomes a world, which lives until it is at rest."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from crm_export.exports.callbacks import sign
from simulation import functions as names
from simulation.calls import Calls
from simulation.dynamodb import DynamoDb, TableData
from simulation.faults import Faults
from simulation.functions import Functions, SecretsManager, Sizes
from simulation.invariants import Invariants
from simulation.output import kept_output
from simulation.queues import Queue, QueueSettings, Sqs
from simulation.s3 import S3, Bucket
from simulation.scheduler import Scheduler
from simulation.zoho import Job, Zoho
from simulation.zoho_http import Session
from simulation.zoho_records import MODULE

QUEUES = {"submit": QueueSettings(180, 2), "download": QueueSettings(5400, 5)}
TICK_SECONDS = 300
DEADLINE_HOURS = 24
_END = 10 * 86_400.0
_VERSIONS = ("v2", "v2.1", "v6", "v7", "v8", "v8")
_CRITERIA = {"criteria": {"field": {"api_name": "Last_Name"}, "comparator": "not_equal", "value": "${EMPTY}"}}
_S3_PART_BYTES = (16, 60, 200, 10_000)


@dataclass(frozen=True)
class Outcome:
    """What a run came to. `digest` is that of its whole trace: the same seed has the same."""

    seed: int
    broken: list[str]
    injected: Counter[str]
    states: Counter[str]
    left_uploads: int
    dead_letters: int
    virtual_seconds: float
    digest: str


class World:
    """Everything there is."""

    def __init__(
        self, seed: int, write: Callable[[str], None] | None, only: dict[str, float] | None = None
    ) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.scheduler = Scheduler()
        self.faults = Faults(self.rng, self.scheduler, only)
        self.calls = Calls(self.rng, self.scheduler, self.faults)
        self._digest = hashlib.blake2b(digest_size=8)
        self._write = write
        self.calls.trace, self.calls.verbose = self._trace, write is not None
        self.table, self.bucket = TableData(lambda: self.scheduler.now), Bucket()
        version = self.rng.choice(_VERSIONS)
        self.zoho = Zoho(self.rng, self.scheduler, self.faults, version)
        self.queues = {
            name: Queue(name, settings, self.rng, self.scheduler, self.faults)
            for name, settings in QUEUES.items()
        }
        session = Session(
            self.zoho, self.calls, self.rng, signing_key=names.SIGNING_KEY,
            refresh_token=names.REFRESH_TOKEN, created=self._job_created,
        )  # fmt: skip
        self.functions = Functions(
            self.scheduler, self.calls, self.rng,
            aws={
                "dynamodb": DynamoDb(self.table, self.calls),
                "s3": S3(self.bucket, self.calls),
                "sqs": Sqs(self.queues, self.calls),
                "secretsmanager": SecretsManager(self.calls),
            },
            session=session,
            api_version=version, deadline_hours=DEADLINE_HOURS,
            result_format=self.rng.choice(("csv", "csv", "csv.gz")),
            sizes=Sizes(self.rng.choice(_S3_PART_BYTES), self.rng.choice((1, 2, 4))),
        )  # fmt: skip
        self.queues["submit"].invoke = self.functions.submitter
        self.queues["download"].invoke = self.functions.downloader
        self.invariants = Invariants(self.scheduler, self.faults, self.table, self.bucket, self.zoho)
        self.calls.runaway = self.invariants.violated
        self._flat_callbacks = self.rng.random() < 0.3
        self._to_post = 0

    def run(self) -> Outcome:
        """Let it live until nothing happens any more."""
        for number in range(self.rng.choice((1, 1, 2))):
            query = self.rng.choice(({}, {}, {"fields": ["Last_Name", "Description"]}, _CRITERIA))
            module = self.rng.choice(("Contacts", "Contacts", "Leads", MODULE))
            body = {} if module == MODULE else {"query": query}
            post = partial(self.functions.post, f"/v1/e/zoho/bulk-read/{module.lower()}", body)
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
            secrets = {
                names.SIGNING_KEY.decode(),
                names.CLIENT_SECRET,
                names.REFRESH_TOKEN,
                *self.zoho.ever_given,
            }
            secrets |= {sign(names.SIGNING_KEY, *part) for part in self.zoho.jobs_of}
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

    # --- who calls from outside ---

    def _post(self, post: Callable[[Callable[[Any], None]], None], tries: int) -> None:
        def done(response: Any) -> None:
            self._to_post -= 1
            if response is None and tries > 1 and self.faults.happens("POST sent again"):
                self._to_post += 1
                self.scheduler.after(self.rng.choice((1.0, 40.0)), lambda: self._post(post, tries - 1))

        post(done)

    def _tick(self) -> None:
        is_open = any("open" in item for item in self.table.items.values())
        if not is_open and not self._to_post and self.scheduler.now > TICK_SECONDS:
            return
        if is_open and not self.faults.happens("tick missing"):
            for _ in range(1 + self.faults.happens("tick twice")):
                self.functions.reconciler(lambda answer: None)
        self.scheduler.after(TICK_SECONDS, self._tick)

    def _job_created(self, job: Job) -> None:
        """Plan when and how Zoho calls back."""
        happens, part = self.faults.happens, job.part
        if happens("callback forged", part):
            self._forge(job)
        if happens("callback is no job", part):
            self._call_back(job.callback_url, lambda: b'{"data": "x"}', self.rng.uniform(0, 60))
        if happens("callback names another job", part):
            others = [other for other in self.zoho.jobs.values() if other is not job]
            alike = [other for other in others if other.module == job.module and other.part != part]
            if others:
                other = self.rng.choice(alike or others)
                job.answered_after = self.rng.choice((0.0, 5.0))
                self._call_back(job.callback_url, lambda: self._body(other), self.rng.choice((0.0, 0.1, 5.0)))
        if happens("callback early", part):
            job.done_at, job.answered_after = self.scheduler.now, self.rng.choice((0.0, 5.0))
        if job.done_at > _END or happens("callback never", part):
            return
        delay = job.done_at - self.scheduler.now
        if happens("callback late", part):
            delay += self.rng.choice((600.0, 20_000.0))
        for _ in range(3 if happens("callback thrice", part) else 1):
            self._call_back(job.callback_url, lambda: self._body(job), delay)
            delay += self.rng.choice((0.0, 0.05, 60.0))

    def _body(self, job: Job) -> bytes:
        datum = self.zoho.details(job)
        return json.dumps(
            {**datum, "job_id": datum.pop("id")} if self._flat_callbacks else {"data": [datum]}
        ).encode()

    def _forge(self, job: Job) -> None:
        """A signature moved to another part, or made up: it must have no effect."""
        *base, export_id, part, signature = job.callback_url.split("/")
        forged = self.rng.choice(((export_id, str(int(part) + 1), signature), (export_id, part, "0" * 64)))

        def call() -> None:
            before = dict(self.table.items), len(self.queues["download"].messages)

            def done(answer: Any) -> None:
                if answer is not None:
                    self.invariants.violated(f"a forged callback was taken: {forged}")

            self.functions.callback("/".join([*base, *forged]), self._body(job), done)
            if before != (dict(self.table.items), len(self.queues["download"].messages)):
                self.invariants.violated(f"a forged callback had an effect: {forged}")

        self.scheduler.after(self.rng.choice((0.0, 10.0)), call)

    def _call_back(self, url: str, body: Callable[[], bytes], delay: float, tries: int = 3) -> None:
        def done(answer: Any) -> None:
            if answer is None and tries > 1:
                self._call_back(url, body, 30.0, tries - 1)

        self.scheduler.after(delay, lambda: self.functions.callback(url, body(), done))


def run(
    seed: int, write: Callable[[str], None] | None = None, only: dict[str, float] | None = None
) -> Outcome:
    """Run one seed; `write` gets the trace, line by line. `only`: these kinds of faults, with their rates."""
    return World(seed, write, only).run()
