"""What a container builds once and keeps between invocations."""

from dataclasses import fields, replace

from crm_export.connections.model import Connection
from crm_export.settings import ExportHandlerSettings
from crm_export.wiring import Container

ENV = {field.name.upper(): "1" for field in fields(ExportHandlerSettings)}


class CountingContainer(Container):
    """A container with one connection, which records for which connections a client was built."""

    def __init__(self):
        super().__init__(ENV, aws=lambda service: None)
        self.connection = Connection("a", "o", "https://x", "https://y", "refresh")
        self.clients = []

    def _connections(self, settings):
        return self

    def get(self, account_id, owner):
        return self.connection

    def _client(self, settings, store, connection):
        self.clients.append(connection)
        return object()


def test_grant_keeps_its_client_and_a_new_refresh_token_gets_a_new_one():
    container = CountingContainer()
    first = container.connection
    container.handler_zoho("a", "o")
    container.handler_zoho("a", "o")
    assert container.clients == [first]
    container.connection = replace(first, refresh_token="another")
    container.handler_zoho("a", "o")
    assert container.clients == [first, container.connection]
