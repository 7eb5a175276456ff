"""``python -m seemrl``."""

import sys

from seemrl.cli import main

sys.exit(main())
