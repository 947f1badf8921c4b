"""HTTP: the organisation and its routes, OAuth and limits, the control API, the journal and the server."""
