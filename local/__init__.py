"""The local stack: the same template and handlers, without Docker, AWS or Zoho (DESIGN.md, section 7)."""
