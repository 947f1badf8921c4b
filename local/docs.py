"""`python -m local.docs`: docs/openapi.yaml as one HTML page with Swagger UI. Called by `make docs`.

The page contains the viewer's files (from the package flask-swagger-ui) and loads nothing from elsewhere.
https://swagger.io/docs/open-source-tools/swagger-ui/usage/installation/
"""

import json
from importlib.resources import files
from pathlib import Path

import yaml

from local.host.processes import REPOSITORY

_VIEWER = files("flask_swagger_ui") / "dist"
# Swagger UI writes style attributes and draws its icons from data URLs.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"


def page() -> str:
    """Return the page. It has no "Try it out", because the API allows no other origin."""
    document = yaml.load((REPOSITORY / "docs/openapi.yaml").read_text(), Loader=yaml.CSafeLoader)
    options = {"spec": document, "dom_id": "#viewer", "supportedSubmitMethods": [], "validatorUrl": None}
    style, script = ((_VIEWER / f"swagger-ui{end}").read_text() for end in (".css", "-bundle.js"))
    # "<!--" and "</script" would change how the browser reads a script element.
    script = script.replace("<!--", r"\x3c!--")
    start = json.dumps(options, default=str).replace("<", r"\u003c")
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>zoho-crm-export: HTTP API</title>
<style>{style}</style>
<div id="viewer"></div>
<script>{script}</script>
<script>SwaggerUIBundle({start})</script>
</html>
"""


if __name__ == "__main__":
    target = Path(".local/api.html")
    target.parent.mkdir(exist_ok=True)
    target.write_text(page())
    print(f"The HTTP API's documentation: {target}")
