"""`python -m fakefreq`, which launchers of several processes start: `torchrun -m fakefreq train ...`."""

import sys

from fakefreq.cli import main

if __name__ == "__main__":
    sys.exit(main())
