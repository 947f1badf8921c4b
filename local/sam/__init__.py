"""Files for SAM's own emulator, `sam local`: docs/sam-local.md is the guide."""
