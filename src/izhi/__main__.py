"""``python -m izhi`` is ``izhi``."""

import sys

from izhi.cli import main

sys.exit(main())
