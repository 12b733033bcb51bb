"""What `launch/check_shards.py` does: are the files of a dataset those that preprocessing wrote?"""

from pathlib import Path

from jp_llm.config.section import Section
from jp_llm.runtime.errors import UserError
from jp_llm.shards.manifest import DatasetManifest


class CheckShardsConfig(Section):
    """What `launch/check_shards.py` reads (`configs/check_shards.yaml`)."""

    path: str = ""
    """Folder that holds dataset.json and the shards."""
    hashes: bool = True
    """Read every byte and compare its SHA-256; false compares sizes and index headers only, which takes seconds."""

    def problems(self) -> list[str]:
        return [] if self.path else ["path: name the dataset folder, e.g. path=corpora/demo"]


def run(config: CheckShardsConfig) -> None:
    """Check every shard, print one line per problem and a summary.

    Raises:
        UserError: there is no dataset, or something is wrong with its files.
    """
    folder = Path(config.path)
    manifest = DatasetManifest.load(folder)
    shards = list(manifest.shards())
    problems = manifest.check_files(folder, hashes=config.hashes)
    for problem in problems:
        print(problem)
    compared = "sizes, headers and SHA-256" if config.hashes else "sizes and headers"
    tokens, size = sum(shard.tokens for shard in shards), sum(shard.bin_bytes + shard.idx_bytes for shard in shards)
    print(
        f"{folder}: {len(shards):,} shards of {len(manifest.sources)} sources, {tokens:,} tokens, {size / 1e9:,.2f} GB"
        f"; {compared} compared: {f'{len(problems):,} wrong' if problems else 'all well'}"
    )
    if problems:
        raise UserError(f"{folder}: {len(problems):,} of {2 * len(shards):,} shard files differ from dataset.json")
