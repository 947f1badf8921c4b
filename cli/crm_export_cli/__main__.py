"""`python -m crm_export_cli` is `crm-export`."""

import sys

from crm_export_cli.main import main

sys.exit(main())
