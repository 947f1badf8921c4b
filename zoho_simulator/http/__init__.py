"""HTTP: the organisation behind its API, OAuth, routes, the control API, the journal and the server."""
