"""Plan: `python launch/plan.py model/size=13b model/arch=palm cluster=a100-40gb cluster.nodes=16`."""

import sys

from jp_llm.plan.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
