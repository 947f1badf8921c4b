"""The local stack: the same template and handlers, without Docker, AWS or Zoho (docs/design.md)."""
