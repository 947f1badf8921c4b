"""A simulator of Zoho CRM: OAuth, records, metadata and Bulk Read v2 to v8.

`http.organisation.Organisation.handle` maps a request to a response without a socket or a thread: time,
randomness, delayed actions and the transport of callbacks are arguments (`config.Environment`).
`http.server.start_simulator` serves an organisation on loopback, on the real clock.

Imports go down these layers only:

    __main__   the command line
    http       server → control → organisation → access, journal
    bulk, records   neither imports the other
    faults     scripted faults
    data       changes → criteria → modules → catalog → builder → columns, pools
    tokens, errors, wire, config   shared by all
"""
