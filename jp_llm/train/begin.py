"""Step 0: random weights, or those of another model."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jp_llm.arch.parameters import parameter_shapes
from jp_llm.checkpoint.format import WEIGHT
from jp_llm.engine.engine import Engine
from jp_llm.guard.interventions import Interventions
from jp_llm.huggingface.open import Weights, open_weights
from jp_llm.huggingface.origin import origin_of, stated_license
from jp_llm.huggingface.reader import HuggingFaceReader
from jp_llm.parallel.slices import Piece
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.train.origin import Origin, begun_with
from jp_llm.train.saver import Saver


def begin(saver: Saver, engine: Engine, interventions: Interventions) -> None:
    """Bring the engine to step 0: moments are zero, nothing is counted. Every process calls this together.

    Raises:
        UserError: the weights of `init_from` are gone, damaged, of another model, or (behind a rewind) not those that
            the run began with.
    """
    config = saver.preflight.config
    if not config.init_from:
        engine.initialize()
        return
    # One process looks for it, so that all of them find the same checkpoint of a run that is still going on.
    source = Path(config.init_from)
    origin = saver.from_main(lambda: Origin.find(source))
    hashes = _whole(saver, origin)
    before = saver.from_main(lambda: begun_with(RunFolder(saver.preflight.run_dir)))
    if interventions and before is not None and before.get("sha256") != hashes:
        raise UserError(
            f"init_from: {origin.path} holds other weights than those that this run began with "
            f"({before.get('source')}), to which it has to go back; put them there again, or choose another run_dir"
        )
    weights = open_weights(origin.path)
    wanted = parameter_shapes(config.model)
    if wrong := sorted(set(wanted) ^ set(weights.names)):
        raise UserError(f"init_from: {origin.path} holds another model than is configured: {', '.join(wrong)}")

    def read(piece: Piece, kind: str) -> Tensor:
        return weights.read_piece(piece, kind) if kind == WEIGHT else torch.zeros(piece.size)

    engine.restore(read, applied_updates=0)
    saver.origin = saver.from_main(lambda: described(weights, hashes))
    saver.events.write(
        "init",
        init_from=config.init_from,
        source=str(origin.path.absolute()),
        kind="checkpoint" if origin.is_checkpoint else "huggingface",
        sha256=hashes,
    )


def described(weights: Weights, hashes: Mapping[str, str]) -> dict[str, Any]:
    """What every checkpoint of the run, and its model card, says of the weights it began with: of an imported model
    what was known of it, of one of our runs its name."""
    if isinstance(weights, HuggingFaceReader):
        try:
            license = stated_license(weights.folder)
        except UserError as error:
            license = None
            print(f"warning: {error}; the run goes on without its licence", file=sys.stderr, flush=True)
        return origin_of(weights, license=license, files_sha256=hashes)
    inside_run = weights.folder.parent.name == "checkpoints"
    name = (weights.folder.absolute().parents[1] if inside_run else weights.folder.absolute()).name
    return weights.manifest.origin or {"name": name, "license": None, "files_sha256": dict(hashes)}


def _whole(saver: Saver, origin: Origin) -> dict[str, str]:
    """Hashes of its files, of which every process reads its share.

    Raises:
        UserError: some are damaged or cannot be read.
    """
    world = saver.preflight.world
    parts: list[Mapping[str, str]] = saver.from_all(lambda: origin.hashes(world.rank, world.size))
    hashes = {name: value for part in parts for name, value in sorted(part.items())}
    found = saver.from_all(lambda: origin.damage(hashes, world.rank, world.size))
    if problems := sorted({problem for each in found for problem in each}):
        raise UserError(*(f"init_from: {problem}; copy it again, or name another model" for problem in problems))
    return hashes
