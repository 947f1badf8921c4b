"""The folder backend: the same pipeline in one process, over a SQLite file and a folder, without AWS.

    backend     what the commands call: start, view, list, run
    worker      looks for due parts in the table and does their next steps in a few threads
    wiring      builds the Pipeline
    table, tokens, budget     over `database`, the SQLite file DIR/.crm-export/state.db
    results     the folder DIR/exports
    connections DIR/.crm-export/connections.json
    locks       which processes work on the folder

Credentials, tokens and state are below DIR/.crm-export (mode 700, files 600) and nowhere else.
"""

# The account and the owner of a folder's connection, and where the folder's own files are.
ACCOUNT, OWNER = "local", "local"
STATE = ".crm-export"
