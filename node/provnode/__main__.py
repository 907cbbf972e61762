"""``python -m provnode``."""

import sys

from provnode.cli.main import main

sys.exit(main())
