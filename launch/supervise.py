"""Look after a run until it is done: `python launch/supervise.py torchrun --nproc_per_node 8 launch/train.py ...`."""

import sys

from jp_llm.supervise.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
