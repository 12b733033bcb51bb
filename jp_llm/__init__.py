"""jp-llm: pretrain a Japanese GPT from nothing."""

__version__ = "0.1.0"
