"""Post texts on X, or show what would be posted: `python launch/bot.py state_dir=bots/first texts=new.jsonl`."""

import sys

from jp_llm.bot.config import BotConfig
from jp_llm.config.app import run


def bot(config: BotConfig) -> None:
    # Imported late: a configuration error must not cost the load of what it does not need.
    from jp_llm.bot.run import run as run_bot

    run_bot(config)


if __name__ == "__main__":
    sys.exit(run("bot", BotConfig, bot))
